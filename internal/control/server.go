package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/tokenwheel/tokenwheel/renewer"
)

// Peer is who holds the other end of a connection, as the kernel says.
type Peer struct {
	UID uint32
	PID int32
}

// Config is what a server is made of. Only As and Self are required.
type Config struct {
	As   func(renewer.Caller) Engine
	Self uint32 // the daemon's own user id: an operator, as root is

	Operators []string            // names of further operators
	ActsFor   map[string][]string // for whom else a user may register
	// Policies says in words what is done with each provider's tokens.
	Policies map[string]string
	// LocalFS tells whether a staging file system, by name, is the daemon's own
	// machine; nil: all are.
	LocalFS func(name string) bool

	Peer   func(net.Conn) (Peer, error)     // nil: SO_PEERCRED
	Name   func(uid uint32) (string, error) // nil: the machine's user database
	Logger *slog.Logger                     // nil: silent
	PID    int
}

// Limits of one request.
const (
	maxBody   = 2 << 20 // a registration: 1 MiB of credentials in base64, and the rest
	maxHeader = 16 << 10
	drainFor  = 20 * time.Second
	readFor   = time.Minute // a client may take to read its answer
)

// Server answers requests over a control socket. Make one with [NewServer].
type Server struct {
	cfg     Config
	started time.Time
	mux     *http.ServeMux
	names   names
	readFor time.Duration
}

// NewServer returns a server; it answers once Serve runs.
func NewServer(c Config) *Server {
	if c.Peer == nil {
		c.Peer = peerOf
	}
	if c.Name == nil {
		c.Name = nameOf
	}
	if c.LocalFS == nil {
		c.LocalFS = func(string) bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: c, started: time.Now(), mux: http.NewServeMux(), names: names{look: c.Name, within: nameWithin, known: map[uint32]*named{}}, readFor: readFor}
	for _, rt := range routes {
		s.mux.Handle(rt.pattern, s.handler(rt))
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, &Problem{Status: http.StatusNotFound, Code: codeNotFound, Detail: fmt.Sprintf("no such request: %s %q", r.Method, r.URL.Path), Next: "use a client of the daemon's release"})
	})
	return s
}

func nameOf(uid uint32) (string, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "", err
	}
	return u.Username, nil
}

// peerKey is where a connection's peer stands in the context of its requests.
type peerKey struct{}

// Serve answers on l until ctx ends, lets requests under way finish for 20 s, and
// closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var open connections
	h := &http.Server{
		Handler: s.mux, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			peer, err := s.cfg.Peer(c)
			if err != nil {
				s.cfg.Logger.Warn("control: who connects is not known", "error", err)
				return ctx
			}
			if ok, tell := open.add(c, peer.UID); !ok {
				if tell {
					s.cfg.Logger.Warn("control: too many connections of one user", "uid", peer.UID)
				}
				_ = c.Close()
			}
			return context.WithValue(ctx, peerKey{}, peer)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				open.remove(c)
			}
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("control socket %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
	defer cancel()
	err := h.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, h.Close())
	}
	<-ended
	return err
}

// caller is who sent a request. A uid without a name is an operator or nobody.
func (s *Server) caller(r *http.Request) (renewer.Caller, error) {
	peer, ok := r.Context().Value(peerKey{}).(Peer)
	if !ok {
		return renewer.Caller{}, forbidden(codeNotAllowed, "connect over the unix socket", "who asks is not known")
	}
	trusted := peer.UID == 0 || peer.UID == s.cfg.Self
	name, err := s.names.of(r.Context(), peer.UID)
	if err != nil {
		if !trusted {
			return renewer.Caller{}, forbidden(codeNotAllowed, "give the user a name on the daemon's machine", "user id %d has no name here: %v", peer.UID, err)
		}
		name = strconv.FormatUint(uint64(peer.UID), 10)
	}
	trusted = trusted || slices.Contains(s.cfg.Operators, name)
	return renewer.Caller{Name: name, Trusted: trusted, ActsFor: s.cfg.ActsFor[name]}, nil
}

// request is one request with who sent it, and the renewer as he may use it.
type request struct {
	*http.Request
	caller renewer.Caller
	engine Engine
}

// route is one kind of request. All handlers get a caller, so that none can
// forget to ask.
type route struct {
	pattern string // of http.ServeMux, with its method
	handle  func(*Server, request) (any, error)
}

func (s *Server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		caller, err := s.caller(r)
		var answer any
		if err == nil {
			answer, err = rt.handle(s, request{r, caller, s.cfg.As(caller)})
		}
		s.cfg.Logger.Debug("control", "request", rt.pattern, "caller", caller.Name, "operator", caller.Trusted, "error", err)
		if err != nil {
			s.fail(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		s.encode(w, answer)
	}
}

func (s *Server) fail(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	s.encode(w, p)
}

func (s *Server) encode(w http.ResponseWriter, v any) {
	// Not before: a request may wait for a day. Who does not read holds the answer's
	// memory and the connection until then.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.readFor))
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.cfg.Logger.Debug("control: answer not sent", "error", err)
	}
}

// decode reads a request's body: one JSON value.
func (q request) decode(v any) error {
	dec := json.NewDecoder(q.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if _, more := dec.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = cmp.Or(more, errors.New("more than one JSON value"))
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Code: codeTooLarge, Detail: fmt.Sprintf("the request is longer than %d bytes", tooLarge.Limit), Next: "bring fewer or smaller tokens"}
	}
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Code: codeBadRequest, Detail: "the request is no JSON of the kind expected", Next: "use a client of the daemon's release"}
	}
	return nil
}
