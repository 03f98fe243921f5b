package hdfs

import (
	"errors"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// serviceError gives an error of a call the kind that it has for the token. A
// server is judged by its Java class, never by its text.
func serviceError(err error) error {
	if _, ok := errors.AsType[*plugins.Error](err); ok || err == nil {
		return err
	}
	out := &plugins.Error{Err: err}
	if remote, ok := errors.AsType[*hrpc.RemoteError](err); ok {
		out.Protected = remote.Protected
		out.Kind, out.Code = remoteKind(remote.Class)
		return out
	}
	for _, refusal := range []error{hrpc.ErrSimple, hrpc.ErrMechanism, hrpc.ErrServerName, sasl.ErrQOP, sasl.ErrCipher} {
		if errors.Is(err, refusal) {
			out.Kind, out.Code = plugins.KindDenied, "unsafe-server"
			return out
		}
	}
	return kerberosError(err)
}

// obtainError is serviceError for the one call that must not be made twice
// unnoticed.
func obtainError(err error) error {
	err = serviceError(err)
	if hrpc.AnswerLost(err) && plugins.KindOf(err) == plugins.KindRetry {
		return &plugins.Error{Code: plugins.CodeAnswerLost, Err: err}
	}
	return err
}

func remoteKind(c hrpc.Class) (plugins.Kind, string) {
	switch c {
	case hrpc.InvalidToken:
		return plugins.KindReplace, ""
	case hrpc.AccessControl:
		return plugins.KindDenied, ""
	case hrpc.Authorization:
		return plugins.KindDenied, "proxy-user"
	case hrpc.NoSuchMethod, hrpc.NoSuchProtocol, hrpc.VersionMismatch:
		return plugins.KindDenied, "not-a-namenode"
	}
	return plugins.KindRetry, ""
}

// kerberosError marks what only an operator can mend.
func kerberosError(err error) error {
	for _, kind := range []krb.Kind{krb.ErrWrongKey, krb.ErrUnknownClient, krb.ErrUnknownServer, krb.ErrUnknownRealm, krb.ErrRevoked, krb.ErrEtype, krb.ErrKeytab, krb.ErrCCache, krb.ErrClockSkew, krb.ErrExpired} {
		if errors.Is(err, kind) {
			return &plugins.Error{Kind: plugins.KindDenied, Code: string(kind), Err: err}
		}
	}
	return err
}
