package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
)

func TestSystemMovesForward(t *testing.T) {
	src := clock.System()
	a := src.Now()
	b := src.Now()
	if b.Boot < a.Boot {
		t.Errorf("boot time went back from %v to %v", a.Boot, b.Boot)
	}
	if d := time.Since(a.Wall); d < -time.Minute || d > time.Minute {
		t.Errorf("wall time is %v away from time.Now", d)
	}
}

func TestP11_BubbleStepsWallAndNotBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		src := clock.Bubble(func() time.Duration { return offset })
		before := src.Now()
		offset = -2 * time.Hour
		time.Sleep(3 * time.Second)
		after := src.Now()
		if got := after.Boot - before.Boot; got != 3*time.Second {
			t.Errorf("boot time moved by %v, want 3s", got)
		}
		if got, want := after.Wall.Sub(before.Wall), 3*time.Second-2*time.Hour; got != want {
			t.Errorf("wall time moved by %v, want %v", got, want)
		}
	})
}

func TestBubbleWithoutOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got, want := clock.Bubble(nil).Now().Wall, time.Now().Round(0); !got.Equal(want) {
			t.Errorf("wall %v, want %v", got, want)
		}
	})
}
