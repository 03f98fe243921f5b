package control_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

// roles are all relations that a caller can have to alice's application.
var roles = map[string]uint32{
	"root": 0, "daemon": daemonUID, "operator": olgaUID,
	"owner": aliceUID, "acts for the owner": airflowUID, "other": malloryUID, "nameless": namelessUID,
}

// row is one kind of request about alice's application a1 and its token, with
// the roles that get it done. TOKEN stands for the token's number.
type row struct {
	path, body string
	absent     string // the same path about what does not exist; "": it names nothing
	list       bool   // everybody with a name gets an answer, but only of his own
	done       []string
	denied     int // status for the others
}

var (
	operators   = []string{"root", "daemon", "operator"}
	withOwner   = append([]string{"owner"}, operators...)
	withActsFor = append([]string{"acts for the owner"}, withOwner...)
)

var matrix = map[string]row{
	"GET /v1/status":               {path: "/v1/status?within=24h", list: true, done: withOwner},
	"GET /v1/apps":                 {path: "/v1/apps", list: true, done: withOwner},
	"GET /v1/tokens":               {path: "/v1/tokens", list: true, done: withOwner},
	"POST /v1/apps":                {path: "/v1/apps", body: `{"id":"a2","user":"alice","obtain":["test"],"wait":true}`, done: withActsFor, denied: http.StatusForbidden},
	"GET /v1/apps/{id}":            {path: "/v1/apps/a1?owner=alice", absent: "/v1/apps/zz?owner=alice", done: withOwner, denied: http.StatusNotFound},
	"DELETE /v1/apps/{id}":         {path: "/v1/apps/a1?owner=alice", absent: "/v1/apps/zz?owner=alice", done: withOwner, denied: http.StatusNotFound},
	"POST /v1/apps/{id}/keepalive": {path: "/v1/apps/a1/keepalive?owner=alice", absent: "/v1/apps/zz/keepalive?owner=alice", done: withOwner, denied: http.StatusNotFound},
	"GET /v1/tokens/{id}":          {path: "/v1/tokens/TOKEN", absent: "/v1/tokens/9999", done: withOwner, denied: http.StatusNotFound},
	"POST /v1/tokens/cancel":       {path: "/v1/tokens/cancel", body: `{"kind":"TEST_TOKEN","force":true}`, list: true, done: withOwner},
	"POST /v1/tokens/{id}/renew":   {path: "/v1/tokens/TOKEN/renew", absent: "/v1/tokens/9999/renew", done: withOwner, denied: http.StatusNotFound},
	"POST /v1/tokens/{id}/replace": {path: "/v1/tokens/TOKEN/replace", absent: "/v1/tokens/9999/replace", done: withOwner, denied: http.StatusNotFound},
	"POST /v1/tokens/{id}/cancel": {
		path: "/v1/tokens/TOKEN/cancel", absent: "/v1/tokens/9999/cancel", body: `{"force":true}`, done: operators, denied: http.StatusNotFound,
	},
	"POST /v1/cancels/resume": {path: "/v1/cancels/resume", done: operators, denied: http.StatusForbidden},
}

// The matrix is made from the table of requests: one that is new and has no row
// fails here.
//
// Shows: T-03, T-04, T-05.
func TestM13_EveryRequestAsEveryRole(t *testing.T) {
	for _, pattern := range control.Patterns() {
		r, ok := matrix[pattern]
		if !ok {
			t.Errorf("%s: no row says who may do this", pattern)
			continue
		}
		method, _, _ := strings.Cut(pattern, " ")
		for role, uid := range roles {
			t.Run(pattern+" as "+role, func(t *testing.T) {
				w := newWorld(t, uid)
				r.try(t, w, method, role)
			})
		}
	}
}

func (r row) try(t *testing.T, w *world, method, role string) {
	id, before := w.tokenID(t), w.state(t)
	status, text := w.ask(t, method, strings.ReplaceAll(r.path, "TOKEN", id), r.body)
	if strings.Contains(text, canary) {
		t.Errorf("the answer holds a password: %s", text)
	}
	done := false
	for _, d := range r.done {
		done = done || d == role
	}
	want := r.denied
	switch {
	case done || r.list && role != "nameless":
		want = http.StatusOK
	case role == "nameless":
		want = http.StatusForbidden
	case role == "owner": // he sees it, and is told why he may not
		want = http.StatusForbidden
	}
	if status != want {
		t.Fatalf("status %d, want %d: %s", status, want, text)
	}
	if r.list && done != strings.Contains(text, "a1") {
		t.Errorf("the listing tells of alice's application: %v, want %v: %s", !done, done, text)
	}
	if done {
		return
	}
	if after := w.state(t); after != before {
		t.Errorf("it was not allowed, and changed\n%sto\n%s", before, after)
	}
	if r.absent == "" || role == "owner" {
		return
	}
	// What is not the caller's is answered as what does not exist.
	absentStatus, absentText := w.ask(t, method, r.absent, r.body)
	same := strings.NewReplacer("a1", "zz", `\"`+id+`\"`, `\"9999\"`).Replace(text) == absentText
	if absentStatus != status || !same {
		t.Errorf("somebody else's: %d %s\nnobody's: %d %s", status, text, absentStatus, absentText)
	}
}

// A caller who is no operator stays within his own name and off this machine's
// directories (decision 38).
func TestT05_RegistrationsStayWithinTheCallersRights(t *testing.T) {
	for name, c := range map[string]struct {
		uid  uint32
		r    control.Registration
		code string
	}{
		"another owner":           {malloryUID, control.Registration{Owner: "alice", User: "mallory"}, "not-owner"},
		"another user":            {malloryUID, control.Registration{User: "alice"}, "not-owner"},
		"the daemon's own user":   {malloryUID, control.Registration{User: "tokenwheel"}, "not-owner"},
		"a user not acted for":    {airflowUID, control.Registration{User: "mallory"}, "not-owner"},
		"a local directory":       {malloryUID, control.Registration{User: "mallory", StageTo: []control.Target{{FS: "scratch", Dir: "/tmp/x"}}}, "local-target"},
		"its own":                 {malloryUID, control.Registration{User: "mallory"}, ""},
		"its own, on HDFS":        {malloryUID, control.Registration{User: "mallory", StageTo: []control.Target{{Dir: "/user/mallory/x"}}}, ""},
		"acted for":               {airflowUID, control.Registration{User: "alice"}, ""},
		"an operator, all of it":  {olgaUID, control.Registration{Owner: "alice", User: "bob", StageTo: []control.Target{{FS: "scratch", Dir: "/tmp/x"}}}, ""},
		"an overlay of addresses": {olgaUID, control.Registration{User: "bob", Overlay: map[string]string{"address": "evil:1"}}, "overlay"},
		"an unknown word":         {olgaUID, control.Registration{User: "bob", AtEnd: "burn"}, "bad-request"},
		"torn credentials":        {olgaUID, control.Registration{User: "bob", Credentials: []byte("HDTS\x00\x01")}, "bad-credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.uid)
			before := w.state(t)
			c.r.ID, c.r.Obtain, c.r.Wait = "new", []string{"test"}, true
			_, err := w.client().Register(t.Context(), c.r)
			if code := codeOf(err); code != c.code {
				t.Fatalf("code %q, want %q: %v", code, c.code, err)
			}
			if after := w.state(t); (after == before) != (c.code != "") {
				t.Errorf("before\n%safter\n%s", before, after)
			}
		})
	}
}

// The thief has the owner's real token, and asks for its cancel at the end.
func TestT02_AStolenTokenIsNotRegistered(t *testing.T) {
	w := newWorld(t, malloryUID)
	_, err := w.client().Register(t.Context(), control.Registration{ID: "thief", User: "mallory", AtEnd: "cancel", Credentials: fileWith(t, tokenOf("alice", 1))})
	if code := codeOf(err); code != "not-owner" {
		t.Errorf("got %v, want it refused as not-owner", err)
	}
}
