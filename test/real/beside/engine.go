package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// callers is how many goroutines register applications at a time.
const callers = 1024

// withEngine runs our engine for as long as f does.
func withEngine(ctx context.Context, c renewer.Config, f func(context.Context, *renewer.Renewer) error) error {
	r, err := renewer.New(c)
	if err != nil {
		return err
	}
	return r.Run(ctx, func(ctx context.Context) error { return f(ctx, r) })
}

// registerAll registers one application for each token and returns when the engine has let all in.
func registerAll(ctx context.Context, r *renewer.Renewer, user string, tokens []plugins.Token) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(callers, len(tokens)) {
		group.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(tokens) {
					return
				}
				app := appregistry.App{ID: appregistry.AppID(fmt.Sprintf("%s-%d", user, n)), User: user}
				app.Credentials.Tokens = map[string]plugins.Token{"one": tokens[n]}
				if err := r.Register(ctx, app); err != nil {
					stop(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// punctual renews exactly when Ratio says, so that it can be told how late a renewal is.
var punctual = renewer.Policy{Jitter: -1, MinLead: time.Millisecond}

// expiryFor is the date by which a token is due for renewal at due, by the policy punctual.
func expiryFor(now, due time.Time) time.Time { return now.Add(due.Sub(now) * 4 / 3) }

// numbered makes tokens of a made-up kind, told apart by their numbers.
func numbered(count int, service string) []plugins.Token {
	tokens := make([]plugins.Token, count)
	for i := range tokens {
		id := binary.BigEndian.AppendUint32(nil, uint32(i))
		tokens[i] = plugins.Token{Kind: "BESIDE", Service: service, Identifier: id, Password: plugins.Secret("password")}
	}
	return tokens
}
