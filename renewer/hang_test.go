package renewer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Calls that hang are answered for two seconds after their time, each by its
// own, in whatever order they began.
func TestCalls_ThatHangAreEachAnsweredForInTheirTime(t *testing.T) {
	l := newLender(hadooptest.Lifetimes{})
	var told []string
	var start time.Time
	hooks := renewer.Hooks{Failed: func(e renewer.Event) {
		told = append(told, fmt.Sprintf("%s at %v", e.Apps[0].ID, time.Since(start)))
	}}
	running(t, renewer.Config{Providers: providers(l), PerAuthority: 8, Hooks: hooks}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		block := make(chan struct{})
		defer close(block)
		l.fail(func(string) error {
			<-block
			return nil
		})
		start = time.Now()
		for _, c := range []struct{ id, timeout string }{{"patient", ""}, {"hasty", "1s"}, {"calm", "10s"}, {"hasty-too", "1s"}, {"quick", "4s"}} {
			a := app(c.id, "hdfs")
			if a.StageTo = nil; c.timeout != "" {
				a.Overlay = map[string]string{"call-timeout": c.timeout}
			}
			must(t, operatorOf(r).Admit(ctx, a))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(35 * time.Second)
	})
	first := map[string]bool{}
	var got []string
	for _, line := range told {
		var id string
		_, _ = fmt.Sscan(line, &id)
		if !first[id] {
			first[id] = true
			got = append(got, line)
		}
	}
	want := []string{"hasty at 3.5s", "hasty-too at 4.5s", "quick at 8s", "calm at 13s", "patient at 32s"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("first failures told: %q, want %q", got, want)
	}
}

// A call that was given up keeps its place while it hangs, and those of several
// tenants say that the service has too much to do; once it has returned it counts no more.
func TestCalls_ThatHungGiveTheirPlacesBack(t *testing.T) {
	l := newLender(hadooptest.Lifetimes{})
	running(t, renewer.Config{Providers: providers(l), PerAuthority: 4}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		block := make(chan struct{})
		l.fail(func(string) error {
			<-block
			return errTest(1)
		})
		admit(ctx, t, r, "alice", 2, "hdfs")
		admit(ctx, t, r, "carol", 2, "hdfs")
		time.Sleep(time.Minute)
		admit(ctx, t, r, "bob", 8, "hdfs")
		time.Sleep(time.Minute)
		if n := l.count("obtain"); n != 4 {
			t.Errorf("%d obtains, want the four that hang and have all places", n)
		}
		var under, most atomic.Int64
		l.fail(func(string) error {
			most.Store(max(most.Load(), under.Add(1)))
			time.Sleep(time.Second)
			under.Add(-1)
			return nil
		})
		close(block)
		time.Sleep(1500 * time.Millisecond)
		if n := most.Load(); n != 2 {
			t.Errorf("%d calls at a time after four were given up, want half of the share", n)
		}
		time.Sleep(time.Minute)
		if n := most.Load(); n != 4 {
			t.Errorf("%d calls at a time once all is well, want 4", n)
		}
	})
}
