package hadooptest

import "fmt"

// Java classes of the errors that clients tell apart: what a [JavaError] of
// [Fault].Refuse may be of.
const (
	ClassIO            = "java.io.IOException"
	ClassEOF           = "java.io.EOFException"
	ClassRuntime       = "java.lang.RuntimeException"
	ClassNullPointer   = "java.lang.NullPointerException"
	ClassInvalidToken  = "org.apache.hadoop.security.token.SecretManager$InvalidToken"
	ClassAccessControl = "org.apache.hadoop.security.AccessControlException"
	ClassAuthorization = "org.apache.hadoop.security.authorize.AuthorizationException"
	ClassStandby       = "org.apache.hadoop.ipc.StandbyException"
	ClassObserver      = "org.apache.hadoop.ipc.ObserverRetryOnActiveException"
	ClassRetriable     = "org.apache.hadoop.ipc.RetriableException"
	ClassSafeMode      = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"
	ClassRPCServer     = "org.apache.hadoop.ipc.RpcServerException"
	ClassIPC           = "org.apache.hadoop.ipc.IpcException"
	ClassNoMethod      = "org.apache.hadoop.ipc.RpcNoSuchMethodException"
	ClassVersion       = "org.apache.hadoop.ipc.RPC$VersionMismatch"
	ClassSASL          = "javax.security.sasl.SaslException"
)

// JavaError is an answer as a Hadoop server gives it: a Java class, by which
// clients decide, and a text, by which they must not.
type JavaError struct {
	Class   string
	Message string
}

// Error implements error.
func (e *JavaError) Error() string { return e.Class + ": " + e.Message }

func javaError(class, format string, args ...any) error {
	return &JavaError{Class: class, Message: fmt.Sprintf(format, args...)}
}
