package hdfs

import (
	"errors"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// answer is what one sort of failure means for a token, and what an operator does
// about it. A row is found by the Java class that a NameNode names, or by a
// failure of our own side; texts are never looked at.
type answer struct {
	class   hrpc.Class // of the server's answer; "": a failure of our own side
	failure error      // ours, for errors.Is
	kind    plugins.Kind
	code    string
	meaning string
	next    string // the operator's next step; "": it passes by itself
}

// answers is the one table of what can go wrong at a NameNode. What is not in it
// is tried again: no class that nobody knows may end a token.
var answers = []answer{
	{class: hrpc.Standby, kind: plugins.KindRetry, code: "standby", meaning: "it is in standby; the others of its nameservice are asked"},
	{class: hrpc.Observer, kind: plugins.KindRetry, code: "observer", meaning: "it only reads, for others; the servers of its nameservice that write are asked"},
	{class: hrpc.Retriable, kind: plugins.KindRetry, code: plugins.CodeBusy, meaning: "its queue is full, or it starts up or changes over; it is asked less often for a while"},
	{
		class: hrpc.SafeMode, kind: plugins.KindRetry, code: "safe-mode", meaning: "it is in safe mode and changes nothing",
		next: "if it stays: hdfs dfsadmin -safemode get, and see why",
	},
	{class: hrpc.InvalidToken, kind: plugins.KindReplace, code: "token-dead", meaning: "it does not know the token, or the token is past its max date, or its key is gone; a new one is obtained"},
	{
		class: hrpc.AccessControl, kind: plugins.KindDenied, code: "access-denied", meaning: "we are not the token's renewer, its password is wrong, or the login is refused",
		next: "compare the token's renewer with our name (creds print), and see the NameNode's auth_to_local rules",
	},
	{
		class: hrpc.Authorization, kind: plugins.KindDenied, code: "proxy-user", meaning: "we may not act for that user, or not from this machine, or a service ACL is against us",
		next: "set hadoop.proxyuser.<our name>.users (or groups) and .hosts in the NameNode's core-site.xml, then hdfs dfsadmin -refreshSuperUserGroupsConfiguration",
	},
	{
		class: hrpc.SASL, kind: plugins.KindRetry, code: "login-failed", meaning: "it does not accept our login",
		next: "if it stays: see its log; its keytab or its clock may be wrong",
	},
	{class: hrpc.JavaIO, kind: plugins.KindRetry, code: "server-error", meaning: "something failed inside it", next: "if it stays: see its log"},
	{class: hrpc.NoSuchMethod, kind: plugins.KindDenied, code: "not-a-namenode", meaning: "it does not have the call", next: "see that the address in the Hadoop configuration is a NameNode's RPC address"},
	{class: hrpc.NoSuchProtocol, kind: plugins.KindDenied, code: "not-a-namenode", meaning: "another service listens there", next: "see that the address in the Hadoop configuration is a NameNode's RPC address"},
	{class: hrpc.VersionMismatch, kind: plugins.KindDenied, code: "not-a-namenode", meaning: "it speaks another version", next: "see that the address in the Hadoop configuration is a NameNode's RPC address"},

	{failure: hrpc.ErrSimple, kind: plugins.KindDenied, code: "unsafe-server", meaning: "it asks to fall back to SIMPLE, which is always refused", next: "see that the cluster is secure (hadoop.security.authentication) and nobody stands in between"},
	{failure: hrpc.ErrMechanism, kind: plugins.KindDenied, code: "unsafe-server", meaning: "it offers no login that is implemented", next: "see that the NameNode offers KERBEROS"},
	{failure: hrpc.ErrServerName, kind: plugins.KindDenied, code: "unsafe-server", meaning: "it names another principal than the configuration does", next: "set dfs.namenode.kerberos.principal, or its pattern, to what the NameNode is"},
	{failure: sasl.ErrQOP, kind: plugins.KindDenied, code: "unsafe-server", meaning: "it offers less protection than hadoop.rpc.protection demands here", next: "give both sides the same hadoop.rpc.protection"},
	{failure: sasl.ErrCipher, kind: plugins.KindDenied, code: "unsafe-server", meaning: "it offers weak ciphers only", next: "let the NameNode offer 3des or rc4"},

	kerberos(krb.ErrWrongKey, "the KDC does not accept the key in our keytab", "make the keytab anew (kadmin ktadd) and put it in place"),
	kerberos(krb.ErrUnknownClient, "the KDC does not know our principal", "create it, or correct kerberos.principal"),
	kerberos(krb.ErrUnknownServer, "the KDC does not know the NameNode's principal", "create it, or correct dfs.namenode.kerberos.principal"),
	kerberos(krb.ErrUnknownRealm, "no KDC is known for the realm", "name one in krb5.conf"),
	kerberos(krb.ErrRevoked, "our principal is locked or expired", "have the KDC's administrator unlock it"),
	kerberos(krb.ErrEtype, "no encryption type that both sides allow", "make keys with AES for principal and keytab"),
	kerberos(krb.ErrKeytab, "the keytab cannot be read or holds no usable key", "see its path, owner and mode, and klist -kt"),
	kerberos(krb.ErrCCache, "the credential cache cannot be read or holds no ticket", "see its path, owner and mode, and klist"),
	kerberos(krb.ErrClockSkew, "the clocks of this machine and the KDC or service are too far apart", "set this machine's clock, or run NTP on both"),
	kerberos(krb.ErrExpired, "the credential cache's ticket has ended", "kinit, or configure a keytab"),
}

func kerberos(kind krb.Kind, meaning, next string) answer {
	return answer{failure: kind, kind: plugins.KindDenied, code: string(kind), meaning: meaning, next: next}
}

// answerTo finds the row of a failure; nil: there is none.
func answerTo(err error) *answer {
	remote, isRemote := errors.AsType[*hrpc.RemoteError](err)
	for i := range answers {
		a := &answers[i]
		if isRemote && a.class != "" && a.class == remote.Class || !isRemote && a.failure != nil && errors.Is(err, a.failure) {
			return a
		}
	}
	return nil
}
