package main

import (
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/control"
)

// Many tokens are cancelled by one command, which shows them first and wants to
// be told that all are meant.
func TestCV04_TokenCancelBySelection(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	startDaemon(t, s.config(t, ""))
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	for _, name := range []string{"one", "two"} {
		ok(t, "app", "register", name, "--obtain", "hdfs", "--wait")
	}
	one := fromJSON[control.App](t, ok(t, "app", "describe", "one", "-o", "json")).Tokens[0]
	for _, verb := range []string{"describe", "keepalive"} { // as it is listed
		ok(t, "app", verb, me(t)+"/one")
	}
	fails(t, exitNotFound, []string{`"nobody/one"`}, "app", "unregister", "nobody/one")
	cancel := func(more ...string) []string {
		return append([]string{"token", "cancel", "--kind", one.Kind, "--service", one.Service, "--owner", one.Owner}, more...)
	}
	for _, args := range [][]string{
		{"token", "cancel"},
		{"token", "cancel", "--yes", "--force"},
		{"token", "cancel", "1", "--dry-run"},
		cancel("1"),
		cancel("--app", "", "--yes", "--force"),
	} {
		fails(t, exitLocal, []string{"cancel: "}, args...)
	}
	if out := ok(t, cancel("--dry-run")...); strings.Count(out, one.Kind) != 2 || strings.Count(out, "token-held") != 2 {
		t.Errorf("a dry run lists\n%s", out)
	}
	r := fails(t, exitLocal, []string{"2 are hit, and none was cancelled", "--yes"}, cancel("--force", "-o", "json")...)
	if list := fromJSON[[]control.CancelledToken](t, r.out); len(list) != 2 {
		t.Errorf("it lists %+v, want both", list)
	}
	r = fails(t, exitLocal, []string{"2 of 2 are not cancelled", "token-held"}, cancel("--yes")...)
	if strings.Count(r.out, "token-held") != 2 {
		t.Errorf("each token has its problem; printed is\n%s", r.out)
	}
	fails(t, exitNotFound, []string{`three": not found`}, cancel("--app", "three", "--yes", "--force")...)
	if out := ok(t, "token", "cancel", "--app", "one", "--kind", "none", "--yes"); !strings.Contains(out, "no token is hit") {
		t.Errorf("of a kind that there is none of: %s", out)
	}
	if n := s.NameNode.Journal.Count(hadooptest.OpCancel); n != 0 {
		t.Fatalf("%d cancels so far, want none", n)
	}
	ok(t, cancel("--app", "one", "--force", "--wait")...)
	if n := s.NameNode.Journal.Count(hadooptest.OpCancel); n != 1 {
		t.Errorf("%d cancels, want that of one", n)
	}
	list := fromJSON[[]control.CancelledToken](t, ok(t, cancel("--yes", "--force", "--wait", "-o", "json")...))
	if n := s.NameNode.Journal.Count(hadooptest.OpCancel); n != 1+len(list) || len(list) == 0 {
		t.Errorf("%d cancels, want %d", n, 1+len(list))
	}
	for _, v := range list {
		if v.State != "cancelled" {
			t.Errorf("token %d is %s", v.ID, v.State)
		}
	}
}
