package hrpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

// Class is the name of the Java exception class by which a server says what went wrong. Texts differ from release to
// release; classes do not.
type Class string

// Classes that mean something to a client of delegation tokens.
const (
	Standby         Class = "org.apache.hadoop.ipc.StandbyException"                      // ask another server
	Observer        Class = "org.apache.hadoop.ipc.ObserverRetryOnActiveException"        // ask another server: this one only reads
	Retriable       Class = "org.apache.hadoop.ipc.RetriableException"                    // later: starting up, in transition
	SafeMode        Class = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"    // later, or when an operator says so
	InvalidToken    Class = "org.apache.hadoop.security.token.SecretManager$InvalidToken" // unknown, expired, past its max date
	AccessControl   Class = "org.apache.hadoop.security.AccessControlException"           // not the renewer, wrong password, login refused
	Authorization   Class = "org.apache.hadoop.security.authorize.AuthorizationException" // proxy user or service ACL refused
	SASL            Class = "javax.security.sasl.SaslException"                           // in the login: the password is wrong
	NoSuchMethod    Class = "org.apache.hadoop.ipc.RpcNoSuchMethodException"              // the service does not have the call
	NoSuchProtocol  Class = "org.apache.hadoop.ipc.RpcNoSuchProtocolException"            // another service listens there
	VersionMismatch Class = "org.apache.hadoop.ipc.RPC$VersionMismatch"                   // of protocol or RPC
	JavaIO          Class = "java.io.IOException"                                         // in the login: identifier not decodable
	yarnWrapper     Class = "org.apache.hadoop.yarn.exceptions.YarnException"             // its message begins with the real class
)

// Refusals of ours. They are final: another attempt meets the same server.
var (
	ErrSimple     = errors.New("server asks to fall back to SIMPLE, which is always refused")
	ErrMechanism  = errors.New("server offers no login that is implemented")
	ErrServerName = errors.New("server is not who the configuration says")
)

// Failures of a connection.
var (
	ErrProtocol    = errors.New("not Hadoop RPC version 9")
	ErrUnprotected = errors.New("answer outside the agreed protection")
	ErrSilent      = errors.New("nothing came before the deadline of a call")
	ErrClosed      = errors.New("connection closed")
)

// RemoteError is a server's answer that it did not do what it was asked.
type RemoteError struct {
	Class     Class  // of the Java exception; that inside a YarnException
	Message   string // as it came, with the server's stack trace
	Detail    int    // RpcErrorCodeProto
	Fatal     bool   // the server closed the connection
	Protected bool   // came inside a layer that checks integrity: nobody in the middle wrote it
}

// maxErrorText is how much of a server's text an error repeats, in bytes before escaping.
const maxErrorText = 512

// Error returns the class and the first line of the message, control characters escaped.
func (e *RemoteError) Error() string {
	line, _, _ := strings.Cut(e.Message, "\n")
	return escape(string(e.Class)) + ": " + escape(line)
}

func escape(s string) string {
	q := strconv.QuoteToGraphic(s[:min(len(s), maxErrorText)])
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func newRemoteError(h *pb.RpcResponseHeaderProto, protected bool) *RemoteError {
	e := &RemoteError{
		Class: Class(h.GetExceptionClassName()), Message: h.GetErrorMsg(), Detail: int(h.GetErrorDetail()),
		Fatal: h.GetStatus() == pb.RpcResponseHeaderProto_FATAL, Protected: protected,
	}
	// RPCUtil.unwrapAndThrowException does the same: the class is in the text, at a fixed place.
	if class, message, ok := strings.Cut(e.Message, ": "); ok && e.Class == yarnWrapper && isJavaClass(class) {
		e.Class, e.Message = Class(class), message
	}
	return e
}

func isJavaClass(s string) bool {
	return strings.Contains(s, ".") && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '.' && r != '$' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// TransportError is a failure between us and the server.
type TransportError struct {
	Op   string // "connect to", "log in to" or the method of the call
	Addr string
	Sent bool // at least a part of the request was written, so the server may have done what it says
	Err  error
}

// Error names operation and address.
func (e *TransportError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Addr, e.Err) }

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// SafeToRetry reports whether the request of the call that gave err certainly had no effect: nothing of it was written,
// or the server said that it does not serve now.
func SafeToRetry(err error) bool {
	// The transport's word comes first: its cause may be the refusal that ended the connection before.
	if te, ok := errors.AsType[*TransportError](err); ok {
		return !te.Sent
	}
	re, ok := errors.AsType[*RemoteError](err)
	return ok && (re.Fatal || notNow(re.Class))
}

// AnswerLost reports whether the request was sent and no answer came: the server may have done what it was asked.
func AnswerLost(err error) bool {
	te, ok := errors.AsType[*TransportError](err)
	return ok && te.Sent
}

// FailOver reports whether another server of the same service should be asked at once. A request that may have been
// done is for its caller to judge, and a refusal would be met again.
func FailOver(err error) bool {
	if errors.Is(err, context.Canceled) || !SafeToRetry(err) {
		return false
	}
	if re, ok := errors.AsType[*RemoteError](err); ok {
		return re.Class == Standby || re.Class == Observer || re.Class == Retriable
	}
	return true
}

func notNow(c Class) bool { return c == Standby || c == Observer || c == Retriable || c == SafeMode }
