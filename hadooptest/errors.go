package hadooptest

import "fmt"

// Java classes of the errors that clients tell apart.
const (
	classIO            = "java.io.IOException"
	classInvalidToken  = "org.apache.hadoop.security.token.SecretManager$InvalidToken"
	classAccessControl = "org.apache.hadoop.security.AccessControlException"
	classAuthorization = "org.apache.hadoop.security.authorize.AuthorizationException"
	classStandby       = "org.apache.hadoop.ipc.StandbyException"
	classRetriable     = "org.apache.hadoop.ipc.RetriableException"
	classSafeMode      = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"
	classRPCServer     = "org.apache.hadoop.ipc.RpcServerException"
	classIPC           = "org.apache.hadoop.ipc.IpcException"
	classNoMethod      = "org.apache.hadoop.ipc.RpcNoSuchMethodException"
	classVersion       = "org.apache.hadoop.ipc.RPC$VersionMismatch"
	classSASL          = "javax.security.sasl.SaslException"
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
