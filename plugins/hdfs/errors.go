package hdfs

import (
	"errors"
	"fmt"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// serviceError gives an error of a call the kind that it has for the token, by
// the table of answers, and ends its text with the operator's next step.
func serviceError(err error) error {
	if _, ok := errors.AsType[*plugins.Error](err); ok || err == nil {
		return err
	}
	row := answerTo(err)
	remote, isRemote := errors.AsType[*hrpc.RemoteError](err)
	if row == nil && !isRemote {
		return err
	}
	out := &plugins.Error{Protected: isRemote && remote.Protected, Err: err}
	if row != nil {
		out.Kind, out.Code = row.kind, row.code
	}
	if row != nil && row.next != "" {
		out.Err = fmt.Errorf("%w; %s", err, row.next)
	}
	return out
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
