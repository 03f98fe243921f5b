package renewer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Caller is who asks. The zero value may do nothing for anybody.
type Caller struct {
	Name    string   // short user name
	Trusted bool     // the embedding program or an operator: may act for everyone
	ActsFor []string // users he may act for besides himself
}

func (c Caller) mayActFor(user string) bool {
	return c.Trusted || user != "" && (user == c.Name || slices.Contains(c.ActsFor, user))
}

// sees tells whether applications of an owner are the caller's to see.
func (c Caller) sees(owner string) bool { return c.Trusted || c.Name != "" && owner == c.Name }

// Client is the renewer as one caller may use it. It is a value; all its methods
// are safe for concurrent use, and answer [ErrNotRunning] while Run does not run.
// What is not the caller's is answered as if it did not exist.
type Client struct {
	r      *Renewer
	caller Caller
}

// As returns the renewer as c may use it.
func (r *Renewer) As(c Caller) Client { return Client{r: r, caller: c} }

// itself is the embedding program.
func (r *Renewer) itself() Client { return r.As(Caller{Trusted: true}) }

// Register admits an application and returns once its first credentials are
// staged. The same owner and id again with equal content changes nothing; with
// other content it replaces the application once its own first set is obtained.
// Where ctx ends after the registration became durable, the error wraps
// appregistry.ErrNotReady and the application stays.
func (r *Renewer) Register(ctx context.Context, app appregistry.App) error {
	return r.itself().Register(ctx, app)
}

// Unregister lets an application go. What nobody else holds is cancelled as the
// application asked.
func (r *Renewer) Unregister(ctx context.Context, key appregistry.AppKey) error {
	return r.itself().Unregister(ctx, key)
}

// Current is what an application should hold now, and its generation.
func (r *Renewer) Current(ctx context.Context, key appregistry.AppKey) (plugins.Credentials, uint32, error) {
	return r.itself().Current(ctx, key)
}

// Entries lists all entries. They hold no password.
func (r *Renewer) Entries(ctx context.Context) ([]appregistry.Entry, error) {
	return r.itself().Entries(ctx)
}

// Register is as [Renewer.Register].
func (c Client) Register(ctx context.Context, app appregistry.App) error {
	return c.admit(ctx, app, core.Done)
}

// Admit is as [Client.Register], but returns as soon as the registration is
// durable.
func (c Client) Admit(ctx context.Context, app appregistry.App) error {
	return c.admit(ctx, app, core.Acknowledged)
}

func (c Client) admit(ctx context.Context, app appregistry.App, until core.Moment) error {
	ev, err := c.registration(ctx, app)
	if err != nil {
		return fmt.Errorf("register %s: %w", app.Key(), err)
	}
	w := &waiter{what: "register", app: app.Key(), moment: until}
	ev.Request, ev.Admit = c.number(w), until == core.Acknowledged
	if err := c.send(w, ev); err != nil {
		return err
	}
	err = w.wait(ctx)
	if ctx.Err() != nil {
		c.r.inbox.put(item{event: core.Abandon{Request: ev.Request, App: ev.App.Key()}})
	}
	return err
}

// Unregister lets an application go. When it returns, the leaving is durable.
func (c Client) Unregister(ctx context.Context, key appregistry.AppKey) error {
	return c.request(ctx, "unregister "+key.String(), func(n core.Request) core.Event {
		return core.Unregister{Request: n, Caller: core.Caller(c.caller), App: key}
	})
}

// KeepAlive puts off an application's leaving: the time of the overlay key lease
// begins anew, and, where it was unregistered, that of linger. It returns until
// when the application stays, by this machine's clock; zero: until it is
// unregistered.
func (c Client) KeepAlive(ctx context.Context, key appregistry.AppKey) (until time.Time, err error) {
	w := &waiter{what: "keep alive", app: key, moment: core.Done}
	err = c.send(w, core.KeepAlive{Request: c.number(w), Caller: core.Caller(c.caller), App: key})
	if err == nil {
		err = w.wait(ctx)
	}
	if err != nil {
		return time.Time{}, err
	}
	return w.until, nil
}

// RenewToken renews a token now, whatever its plan, and returns the service's
// answer. Who asks while a renewal is out gets its answer; who asks again within
// the policy's Cooldown waits for the rest of it.
func (c Client) RenewToken(ctx context.Context, id appregistry.TokenID) error {
	return c.request(ctx, fmt.Sprintf("renew token %d", id), func(n core.Request) core.Event {
		return core.TokenCommand{Request: n, Caller: core.Caller(c.caller), Token: id, Verb: core.RenewNow}
	})
}

// ReplaceToken obtains a successor of a token now, whatever its plan, and returns
// when that is recorded, or the service's refusal.
func (c Client) ReplaceToken(ctx context.Context, id appregistry.TokenID) error {
	return c.request(ctx, fmt.Sprintf("replace token %d", id), func(n core.Request) core.Event {
		return core.TokenCommand{Request: n, Caller: core.Caller(c.caller), Token: id, Verb: core.ReplaceNow}
	})
}

// CancelToken ends a token now. One that is still held needs force; one whose
// password nobody has proved is never cancelled.
func (c Client) CancelToken(ctx context.Context, id appregistry.TokenID, force bool) error {
	return c.request(ctx, fmt.Sprintf("cancel token %d", id), func(n core.Request) core.Event {
		return core.TokenCommand{Request: n, Caller: core.Caller(c.caller), Token: id, Verb: core.CancelNow, Force: force}
	})
}

// CancelOptions say how tokens are cancelled.
type CancelOptions struct {
	Force bool // although applications hold them, for trusted callers
	Wait  bool // return when the services have answered, not as soon as the intents are durable
}

// CancelTokens is as CancelToken for many of them: they are cancelled beside each
// other, and each has its own error, nil where it is done.
func (c Client) CancelTokens(ctx context.Context, ids []appregistry.TokenID, o CancelOptions) []error {
	waiters, errs := make([]*waiter, len(ids)), make([]error, len(ids))
	for i, id := range ids {
		w := &waiter{what: fmt.Sprintf("cancel token %d", id), moment: core.Done}
		waiters[i], errs[i] = w, c.send(w, core.TokenCommand{
			Request: c.number(w), Caller: core.Caller(c.caller), Token: id, Verb: core.CancelNow, Force: o.Force, Intend: !o.Wait,
		})
	}
	for i, w := range waiters {
		if errs[i] == nil {
			errs[i] = w.wait(ctx)
		}
	}
	return errs
}

// ResumeCancels lets cancels flow again after a burst of them was paused.
func (c Client) ResumeCancels(ctx context.Context) error {
	return c.request(ctx, "resume cancels", func(n core.Request) core.Event {
		return core.ResumeCancels{Request: n, Caller: core.Caller(c.caller)}
	})
}

// Current is as [Renewer.Current].
func (c Client) Current(ctx context.Context, key appregistry.AppKey) (plugins.Credentials, uint32, error) {
	got, err := found(ctx, c.r, func(k *core.Core) (core.Snapshot, error) {
		if !c.caller.sees(key.Owner) {
			return core.Snapshot{}, appregistry.ErrNotFound
		}
		return k.Current(key)
	})
	if err != nil {
		return plugins.Credentials{}, 0, fmt.Errorf("credentials of %s: %w", key, err)
	}
	return got.Credentials.Clone(), got.Generation, nil
}

// ask has a question answered on the loop's goroutine.
func ask[T any](ctx context.Context, r *Renewer, question func(*core.Core) T) (answer T, err error) {
	answers := make(chan T, 1)
	if !r.inbox.put(item{ask: func(k *core.Core) { answers <- question(k) }}) {
		return answer, ErrNotRunning
	}
	select {
	case answer = <-answers:
		return answer, nil
	case <-ctx.Done():
		return answer, context.Cause(ctx)
	}
}

// request sends one event and waits for its last word.
func (c Client) request(ctx context.Context, what string, event func(core.Request) core.Event) error {
	w := &waiter{what: what, moment: core.Done}
	if err := c.send(w, event(c.number(w))); err != nil {
		return err
	}
	return w.wait(ctx)
}

// number gives a request its number.
func (c Client) number(w *waiter) core.Request {
	w.request = core.Request(c.r.next.Add(1))
	return w.request
}

func (c Client) send(w *waiter, ev core.Event) error {
	w.done = make(chan struct{})
	if !c.r.inbox.put(item{event: ev, reply: w}) {
		return w.wrap(ErrNotRunning)
	}
	return nil
}
