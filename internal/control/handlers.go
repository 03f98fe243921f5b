package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// routes are all requests there are.
var routes = []route{
	{"GET /v1/status", (*Server).status},
	{"GET /v1/apps", (*Server).listApps},
	{"POST /v1/apps", (*Server).register},
	{"GET /v1/apps/{id}", (*Server).describeApp},
	{"DELETE /v1/apps/{id}", (*Server).unregister},
	{"POST /v1/apps/{id}/keepalive", (*Server).keepAlive},
	{"GET /v1/tokens", (*Server).listTokens},
	{"GET /v1/tokens/{id}", (*Server).describeToken},
	{"POST /v1/tokens/cancel", (*Server).cancelTokens},
	{"POST /v1/tokens/{id}/renew", (*Server).renewToken},
	{"POST /v1/tokens/{id}/replace", (*Server).replaceToken},
	{"POST /v1/tokens/{id}/cancel", (*Server).cancelToken},
	{"POST /v1/cancels/resume", (*Server).resumeCancels},
}

func (s *Server) register(q request) (any, error) {
	var r Registration
	if err := q.decode(&r); err != nil {
		return nil, err
	}
	app, err := r.app()
	if err != nil {
		return nil, err
	}
	if app.Owner == "" {
		app.Owner = q.caller.Name
	}
	if err := s.mayRegister(q.caller, app); err != nil {
		return nil, err
	}
	admit := q.engine.Admit
	if r.Wait {
		admit = q.engine.Register
	}
	within, err := q.duration("within", longestWait)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(q.Context(), within)
	defer cancel()
	if err := admit(ctx, app); err != nil {
		return nil, q.waitsFor(app.Key(), err)
	}
	a, err := q.app(app.Key())
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == codeNotFound {
		p.Detail = fmt.Sprintf("app %q: registered, and let go again: its first answer was a no, or somebody unregistered it", app.Key().String())
		p.Next = "register it with --wait, which says why; or see the daemon's log"
	}
	return a, err
}

// waitsFor says of an application that is registered and not ready what is missing.
func (q request) waitsFor(key appregistry.AppKey, err error) error {
	if !errors.Is(err, appregistry.ErrNotReady) {
		return err
	}
	p := problemOf(err)
	if a, err := q.app(key); err == nil {
		for _, what := range slices.Sorted(maps.Keys(a.Missing)) {
			p.Detail += "; " + what + ": " + a.Missing[what]
		}
		if a.Trouble != "" {
			p.Detail += "; " + a.Trouble
		}
	}
	return p
}

// longestWait bounds a registration whose client does not say how long it waits.
const longestWait = 24 * time.Hour

// duration is a duration of the query; missing where it has none.
func (q request) duration(name string, missing time.Duration) (time.Duration, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, &Problem{Status: http.StatusBadRequest, Code: codeBadRequest, Detail: fmt.Sprintf("%s %q: no duration", name, text), Next: "write it as 90s, 5m or 2h"}
	}
	return d, nil
}

// mayRegister holds callers who are no operators to their own names, and to
// targets off this machine.
func (s *Server) mayRegister(c renewer.Caller, app appregistry.App) error {
	if c.Trusted {
		return nil
	}
	if app.Owner != c.Name {
		return forbidden(codeNotOwner, "leave the owner out", "%s cannot register for owner %q", c.Name, app.Owner)
	}
	if app.User != c.Name && !slices.Contains(c.ActsFor, app.User) {
		return forbidden(codeNotOwner, "name your own user, or ask an operator for an acts-for entry", "%s may not act for user %q", c.Name, app.User)
	}
	for _, t := range app.StageTo {
		if s.cfg.LocalFS(t.FS) {
			return forbidden(codeLocalTarget, "name a directory of a Hadoop file system, or ask an operator", "target %q is a directory of the daemon's machine: only operators may name one", t.String())
		}
	}
	return nil
}

func (s *Server) listApps(q request) (any, error) {
	list, err := q.engine.Apps(q.Context())
	if err != nil {
		return nil, err
	}
	apps := make([]App, len(list))
	for i, a := range list {
		apps[i] = appView(a)
	}
	return apps, nil
}

func appView(a renewer.AppStatus) App {
	v := App{
		Owner: a.Key.Owner, ID: string(a.Key.ID), User: a.User, Group: a.Group, LeavesAt: a.LeavesAt, UUID: a.UUID, Generation: a.Generation, Ready: a.Ready,
		NextStage: a.NextStage, Missing: a.Missing, Trouble: a.Trouble, Aliases: map[string]uint64{},
	}
	for alias, entry := range a.Entries {
		v.Aliases[alias] = uint64(entry)
	}
	return v
}

// key names an application: the owner is the caller unless the query names one.
func (q request) key() appregistry.AppKey {
	owner := q.caller.Name
	if q.URL.Query().Has("owner") {
		owner = q.URL.Query().Get("owner")
	}
	return appregistry.AppKey{Owner: owner, ID: appregistry.AppID(q.PathValue("id"))}
}

// app looks an application up that the caller may see.
func (q request) app(key appregistry.AppKey) (App, error) {
	a, err := q.engine.App(q.Context(), key)
	return appView(a), orNotFound(err, "app", key.String())
}

// orNotFound is the one answer for what does not exist and what is not the
// caller's, where err is that.
func orNotFound(err error, what, name string) error {
	if errors.Is(err, appregistry.ErrNotFound) {
		return notFound(what, strconv.Quote(name))
	}
	return err
}

func (s *Server) describeApp(q request) (any, error) {
	key := q.key()
	v, err := q.app(key)
	if err != nil {
		return nil, err
	}
	entries, err := q.engine.EntriesOf(q.Context(), key)
	for _, e := range entries {
		v.Tokens = append(v.Tokens, tokensOf(e)...)
	}
	return v, orNotFound(err, "app", key.String())
}

func (s *Server) unregister(q request) (any, error) {
	key := q.key()
	return struct{}{}, orNotFound(q.engine.Unregister(q.Context(), key), "app", key.String())
}

// keepAlive answers with the application, which says until when it stays.
func (s *Server) keepAlive(q request) (any, error) {
	key := q.key()
	if _, err := q.engine.KeepAlive(q.Context(), key); err != nil {
		return nil, orNotFound(err, "app", key.String())
	}
	return q.app(key)
}

// tokens are those that the caller may see: entry by entry, then those that
// nobody holds any more.
func (q request) tokens() ([]Token, error) {
	entries, err := q.engine.Entries(q.Context())
	if err != nil {
		return nil, err
	}
	tokens := []Token{}
	for _, e := range entries {
		tokens = append(tokens, tokensOf(e)...)
	}
	remembered, err := q.engine.Remembered(q.Context())
	for _, t := range remembered {
		tokens = append(tokens, tokenView(t))
	}
	return tokens, err
}

// tokensOf are the tokens of an entry; one without an id is of a token that nobody
// holds any more.
func tokensOf(e appregistry.Entry) (tokens []Token) {
	if e.ID == 0 {
		return []Token{tokenView(e.Tokens[0])}
	}
	holders := []string{}
	for _, h := range e.Holders {
		holders = append(holders, h.String())
	}
	for i, t := range e.Tokens {
		v := tokenView(t)
		v.Entry, v.Authority, v.Owner, v.Holders, v.Current = uint64(e.ID), e.Authority.String(), e.Owner, holders, i == 0
		tokens = append(tokens, v)
	}
	return tokens
}

func tokenView(t appregistry.TokenStatus) Token {
	return Token{
		ID: uint64(t.ID), Fingerprint: t.Fingerprint, Kind: t.Kind, Service: t.Service, Holders: []string{},
		State: t.State.String(), Reason: t.Reason, Action: t.Action, Proof: t.Proof.String(), Obtained: t.Obtained, Keep: t.Keep,
		Issued: t.Issued, Expires: t.Expires, Max: t.Max, Next: t.Next, Attempts: t.Attempts,
	}
}

func (s *Server) listTokens(q request) (any, error) { return q.tokens() }

// token is the one of the path, by number or fingerprint, if the caller may see it.
func (q request) token() (Token, error) {
	name := q.PathValue("id")
	if id, err := strconv.ParseUint(name, 10, 64); err == nil && strconv.FormatUint(id, 10) == name {
		t, err := q.numbered(appregistry.TokenID(id))
		if !errors.Is(err, appregistry.ErrNotFound) {
			return t, err
		}
	}
	if len(name) != fingerprintLen {
		return Token{}, notFound("token", strconv.Quote(name))
	}
	tokens, err := q.tokens()
	if err != nil {
		return Token{}, err
	}
	for _, t := range tokens {
		if t.Fingerprint == name {
			return t, nil
		}
	}
	return Token{}, notFound("token", strconv.Quote(name))
}

// fingerprintLen is the length of [plugins.Token.Fingerprint].
const fingerprintLen = 12

func (q request) numbered(id appregistry.TokenID) (Token, error) {
	e, err := q.engine.EntryOf(q.Context(), id)
	if err != nil {
		return Token{}, err
	}
	for _, t := range tokensOf(e) {
		if t.ID == uint64(id) {
			return t, nil
		}
	}
	return Token{}, appregistry.ErrNotFound
}

func (s *Server) describeToken(q request) (any, error) { return q.token() }

func (s *Server) renewToken(q request) (any, error) {
	return q.command(func(id appregistry.TokenID) error { return q.engine.RenewToken(q.Context(), id) })
}

func (s *Server) replaceToken(q request) (any, error) {
	return q.command(func(id appregistry.TokenID) error { return q.engine.ReplaceToken(q.Context(), id) })
}

// cancelRequest is the body of a cancel.
type cancelRequest struct {
	Force bool `json:"force"`
}

func (s *Server) cancelToken(q request) (any, error) {
	var c cancelRequest
	if err := q.decode(&c); err != nil {
		return nil, err
	}
	return q.command(func(id appregistry.TokenID) error { return q.engine.CancelToken(q.Context(), id, c.Force) })
}

// command does something to the token of the path and tells what became of it.
func (q request) command(do func(appregistry.TokenID) error) (any, error) {
	t, err := q.token()
	if err != nil {
		return nil, err
	}
	id := appregistry.TokenID(t.ID)
	if err := do(id); err != nil {
		return nil, orNotFound(err, "token", q.PathValue("id"))
	}
	after, err := q.numbered(id)
	if errors.Is(err, appregistry.ErrNotFound) {
		return t, nil // it left the listings by that
	}
	return after, err
}

func (s *Server) resumeCancels(q request) (any, error) {
	if !q.caller.Trusted {
		return nil, forbidden(codeNotAllowed, "ask an operator", "only operators let cancels flow again")
	}
	return struct{}{}, q.engine.ResumeCancels(q.Context())
}

// status counts what the caller may see, and lists what is not well, or ends
// within the time that the query names.
func (s *Server) status(q request) (any, error) {
	within, err := q.duration("within", 0)
	if err != nil {
		return nil, err
	}
	n, err := q.engine.Counts(q.Context())
	if err != nil {
		return nil, err
	}
	apps, err := q.engine.Apps(q.Context())
	if err != nil {
		return nil, err
	}
	tokens, err := q.tokens()
	if err != nil {
		return nil, err
	}
	st := Status{
		PID: s.cfg.PID, Started: s.started, Apps: n.Apps, Ready: n.Ready, Entries: n.Entries, Tokens: map[string]int{}, Restoring: n.Restoring,
		Providers: s.cfg.Policies, Troubles: []Trouble{},
	}
	for state, count := range n.Tokens {
		st.Tokens[state.String()] = count
	}
	for _, a := range apps {
		st.Troubles = append(st.Troubles, troublesOfApp(a)...)
	}
	for _, t := range tokens {
		instance, _, _ := strings.Cut(t.Authority, ":")
		if s.cfg.Policies[instance] == renewer.ModeIgnore.String() {
			continue // nobody wants to hear of their ends
		}
		if t.Current && !t.Ends().IsZero() && time.Until(t.Ends()) <= within {
			st.Troubles = append(st.Troubles, troublesOf(t, within)...)
		}
	}
	slices.SortFunc(st.Troubles, func(a, b Trouble) int {
		if c := a.Ends.Compare(b.Ends); c != 0 {
			return c
		}
		return strings.Compare(a.App+a.Service, b.App+b.Service)
	})
	return st, nil
}

// What ails an application itself, as the state of a [Trouble].
const (
	stateNotStaged = "not-staged"
	stateNotReady  = "not-ready"
)

func troublesOfApp(a renewer.AppStatus) []Trouble {
	var list []Trouble
	for what, why := range a.Missing {
		list = append(list, Trouble{App: a.Key.String(), Service: what, Reason: why})
	}
	switch {
	case a.Trouble != "":
		list = append(list, Trouble{App: a.Key.String(), State: stateNotStaged, Reason: a.Trouble})
	case !a.Ready && len(list) == 0:
		list = append(list, Trouble{App: a.Key.String(), State: stateNotReady, Reason: "its first credentials are not there yet"})
	}
	return list
}

// troublesOf is one trouble for each application that holds a token that ends within
// a time. Of one whose renewal is planned as it should be the reason is the time.
func troublesOf(t Token, within time.Duration) []Trouble {
	var list []Trouble
	if t.State == appregistry.Live.String() {
		t.Reason = fmt.Sprintf("it ends within %v", within)
		if !t.Next.IsZero() {
			t.Reason += ", and is renewed or replaced at " + t.Next.UTC().Format(time.RFC3339)
		}
	}
	for _, h := range t.Holders {
		list = append(list, Trouble{App: h, Service: t.Service, Token: t.ID, State: t.State, Reason: t.Reason, Ends: t.Ends()})
	}
	return list
}
