package stagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const uuid = "90e1d3f6-99bc-4ec2-8531-ebf8f809b321"

// Set is a set for tests. Its credentials tell their generation and epoch, see
// [Version].
func Set(user, dir string, epoch, n uint32) appregistry.Set {
	return appregistry.Set{
		App: appregistry.AppKey{ID: "stream-42"}, UUID: uuid, User: user, Epoch: epoch, Generation: n,
		Credentials: plugins.Credentials{Secrets: map[string]plugins.Secret{
			"version": fmt.Appendf(nil, "e%d n%d", epoch, n),
		}},
		NextUpdate: time.Now().Add(time.Hour),
		Target:     appregistry.Target{Dir: dir},
	}
}

// Version reads what [Set] wrote.
func Version(c plugins.Credentials) (r appregistry.Receipt, err error) {
	_, err = fmt.Sscanf(string(c.Secrets["version"]), "e%d n%d", &r.Epoch, &r.N)
	return r, err
}

// checkStaging stages past the point where numbers gain a digit and picks each
// generation up.
func checkStaging(ctx context.Context, e env) error {
	stager := fsstaging.NewStager(e.all)
	pickup := fsstaging.NewPickup(e.all, e.dir)
	pickup.Owner = e.User
	for n := uint32(8); n <= 11; n++ {
		set := Set(e.User, e.dir, 1, n)
		if _, err := stager.Stage(ctx, set); err != nil {
			return err
		}
		if _, err := stager.Stage(ctx, set); err != nil {
			return fmt.Errorf("again: %w", err)
		}
		creds, err := pickup.Next(ctx)
		if err != nil {
			return err
		}
		if got, want := creds, set.Credentials; !got.Equal(want) {
			return fmt.Errorf("what was picked up is not generation %d", n)
		}
	}
	_, err := stager.Stage(ctx, Set(e.User, e.dir, 1, 9))
	if b, ok := errors.AsType[*appregistry.Behind](err); !ok || b.N != 11 {
		return fmt.Errorf("stage a lower generation: got %v, want to be behind generation 11", err)
	}
	return nil
}

// checkTwoWriters lets two writers of one epoch race for the same numbers in the
// form whose names do not tell them apart.
func checkTwoWriters(ctx context.Context, e env) error {
	const rounds = 8
	for n := uint32(1); n <= rounds; n++ {
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				s := fsstaging.NewStager(e.all)
				s.Form = fsstaging.FormPlain
				set := Set(e.User, e.dir, 1, n)
				set.Credentials.Secrets["writer"] = fmt.Appendf(nil, "%d", i)
				_, errs[i] = s.Stage(ctx, set)
			})
		}
		wg.Wait()
		if errs[0] == nil && errs[1] == nil {
			return fmt.Errorf("both writers staged generation %d", n)
		}
		for _, err := range errs {
			if _, behind := errors.AsType[*appregistry.Behind](err); err != nil && !behind {
				return fmt.Errorf("generation %d: %w", n, err)
			}
		}
	}
	return nil
}
