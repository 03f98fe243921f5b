package core

import (
	"cmp"
	"math"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

// What the actions that are calls to the world outside have in common, for those
// who make the calls.

// Waiting is an action that is a call, as it waits for its turn at its service.
func Waiting(a Action) dispatch.Call[Action] {
	c := dispatch.Call[Action]{Value: a}
	switch a := a.(type) {
	case Obtain:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, classOf(a.First), a.Before
	case Renew:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, classOf(a.First), a.Before
	case Cancel:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, dispatch.Last, a.Before
	case Stage:
		c.Service, c.Tenant = stagingOn+a.Set.Target.FS, cmp.Or(a.Set.App.Owner, a.Set.User)
		c.Class, c.Before = dispatch.First, math.MaxInt64
	}
	return c
}

func classOf(first bool) dispatch.Class {
	if first {
		return dispatch.First
	}
	return dispatch.Due
}

// stagingOn begins the name of a file system as a service. No authority is
// called so: providers' names have no spaces.
const stagingOn = "stage "

// Stages reports whether a service that [Waiting] named is a file system.
func Stages(service string) bool { return strings.HasPrefix(service, stagingOn) }

// Timeout is the longest that a call may take; 0: as long as the shell lets it.
func Timeout(a Action) time.Duration {
	switch a := a.(type) {
	case Obtain:
		return a.Timeout
	case Renew:
		return a.Timeout
	case Cancel:
		return a.Timeout
	}
	return 0
}

// Failed answers a call that failed.
func Failed(a Action, err error) Event {
	switch a := a.(type) {
	case Obtain:
		return Obtained{Job: a.Job, Err: err}
	case Renew:
		return Renewed{Job: a.Job, Err: err}
	case Cancel:
		return Cancelled{Job: a.Job, Err: err}
	case Stage:
		return Staged{Job: a.Job, Err: err}
	}
	return nil
}

// Failure is the error in the answer to a call.
func Failure(ev Event) error {
	switch ev := ev.(type) {
	case Obtained:
		return ev.Err
	case Renewed:
		return ev.Err
	case Cancelled:
		return ev.Err
	case Staged:
		return ev.Err
	}
	return nil
}
