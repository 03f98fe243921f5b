package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

func targets(dirs ...string) (list []appregistry.Target) {
	for _, dir := range dirs {
		list = append(list, appregistry.Target{Dir: dir})
	}
	return list
}

// One target fails at once, the other after its time-out, over and over: the
// pause between tries grows all the same.
func TestP8_HangingTargetDoesNotHurryTheOther(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a := app("x")
	a.StageTo = targets("/fails", "/hangs")
	tries := 0
	w.stageErr = func(appregistry.Set) error { tries++; return errDown }
	w.step(w.event(registration{app: a, plan: plan(ns1)}))
	for end := w.boot + time.Hour; w.boot < end; {
		switch s, hangs := hanging(w); {
		case len(w.out) > 0 && !hangs:
			w.answer(0)
		case hangs && s.Set.Target.Dir == "/fails":
			w.answer(0)
		case hangs:
			for until := w.boot + 30*time.Second; w.boot < until; w.boot += time.Second {
				w.step(core.Tick{})
			}
			w.answer(0)
		default:
			w.boot += time.Second
			w.step(core.Tick{})
		}
	}
	if tries < 10 || tries > 50 {
		t.Errorf("%d stagings in an hour, want what doubling to 5 minutes makes", tries)
	}
	for _, n := range w.noted(core.TryFailed) {
		if n.Target.Dir == "" || n.Next.IsZero() {
			t.Fatalf("told %+v, want the target and the next try", n)
		}
	}
}

// hanging is the staging that is the next call to be answered, if it is one.
func hanging(w *world) (core.Stage, bool) {
	if len(w.out) == 0 {
		return core.Stage{}, false
	}
	s, ok := w.out[0].(core.Stage)
	return s, ok
}

func TestDeliver_TargetNamedTwiceGetsTheSetOnce(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a := app("x")
	a.StageTo = targets("/a", "/a")
	w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
	if n := len(w.targets["/a"].all); n != 1 {
		t.Errorf("%d sets, want 1", n)
	}
}

// Its old file was written but not reported when another registration took over,
// whose own staging fails: what the file has is not cancelled.
func TestP4_TakeOverKeepsWhatAnUnreportedStagingWrote(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	for {
		if _, staging := hanging(w); staging {
			break
		}
		w.answer(0)
	}
	s, _ := hanging(w)
	if _, err := w.write(s.Set); err != nil {
		t.Fatal(err)
	}
	w.out = w.out[1:]
	w.stageErr = func(appregistry.Set) error { return errDown }
	w.step(w.event(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.run(time.Hour)
	if !w.valid("a", "ns1") {
		t.Errorf("the file has %s, cancels %v", w.held("a", "ns1"), w.svc.cancels)
	}
}

// Two targets, of which one stays behind and then the other, too: nothing that
// either file has is cancelled.
func TestP4_TargetsThatStayBehindKeepTheirTokens(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.stageErr = func(s appregistry.Set) error {
		if s.Target.Dir == "/b" && w.boot > time.Hour || s.Target.Dir == "/a" && w.boot > 9*day {
			return errDown
		}
		return nil
	}
	a := app("x")
	a.StageTo = targets("/a", "/b")
	w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
	for range 24 * 14 {
		w.run(time.Hour)
		for dir, tg := range w.targets {
			if id := string(tg.creds.Tokens["ns1"].Identifier); w.svc.tokens[id].cancelled {
				t.Fatalf("at %v: %s has %s, which was cancelled", w.boot, dir, id)
			}
		}
	}
}

// obtaining is a world with an application whose first obtain is out.
func obtaining(t *testing.T) *world {
	w := newWorld(t, day, 7*day)
	w.run(0)
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	for outAt[core.Obtain](w) < 0 {
		w.answer(0)
	}
	return w
}

// A set has its number in the store before any target has it, however long that
// takes.
func TestP1_NothingIsStagedBeforeItsCommit(t *testing.T) {
	w := obtaining(t)
	w.storeErr = func() error { return errDown }
	w.run(time.Minute)
	if tg := w.targets["/stage/a"]; tg != nil {
		t.Errorf("generation %d was staged, and the store has no record of it", tg.n)
	}
}

func TestP1_ASlowCommitStagesOnce(t *testing.T) {
	w := obtaining(t)
	w.answer(outAt[core.Obtain](w)) // the commit of token and generation is out, and is slow
	stages := 0
	w.hold = func(act core.Action) bool {
		_, is := act.(core.Stage)
		if is {
			stages++
		}
		return is
	}
	w.boot += 6 * time.Second
	w.step(core.Tick{})
	w.run(time.Second)
	if stages != 1 {
		t.Errorf("%d stagings are out for one application and target", stages)
	}
}

// A first set that fails may be at its readers all the same: it is staged again
// within a third of what its tokens have left, as one that was staged is.
func TestP2_FirstSetIsStagedAgainInTime(t *testing.T) {
	const life = 30 * time.Minute
	w := newWorld(t, life, life)
	var tries []time.Duration
	w.stageErr = func(appregistry.Set) error {
		tries = append(tries, w.boot)
		return errDown
	}
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	w.run(life)
	for i, at := range tries[1:] {
		last := tries[i]
		if most := max((life-last)/3, time.Second); at <= life && at-last > most+time.Millisecond {
			t.Errorf("tried at %v and %v later, want %v or less", last, at-last, most)
		}
	}
}
