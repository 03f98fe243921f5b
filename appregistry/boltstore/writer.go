package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"go.etcd.io/bbolt"
)

// maxBatches is how many commits share a transaction at most.
const maxBatches = 1024

// request is a commit on its way through the writer.
type request struct {
	batch appregistry.Batch
	// settled is set by who decides first: the writer, that the batch is in its
	// transaction, or the caller, that it is not wanted any more.
	settled atomic.Bool
	verdict error      // of the fence; the writer's own until the sync
	answer  chan error // holds one: the writer never waits for a caller
}

// Commit implements [appregistry.Store]. Once a transaction has taken the batch,
// the end of ctx is not heeded any more: the answer is that of the disk.
func (s *Store) Commit(ctx context.Context, b appregistry.Batch) error {
	if err := s.submit(ctx, b); err != nil {
		return fmt.Errorf("commit to %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) submit(ctx context.Context, b appregistry.Batch) error {
	if err := errors.Join(ctx.Err(), validate(b)); err != nil {
		return err
	}
	r := &request{batch: b, answer: make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return s.err
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		if r.settled.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-r.answer
	case <-s.done:
		if r.settled.CompareAndSwap(false, true) {
			return s.err
		}
		return <-r.answer
	}
}

// validate refuses what bbolt would refuse in the middle of a transaction, where
// it would be the failure of everybody in it.
func validate(b appregistry.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	for _, r := range b.Put {
		if len(r.Key) > bbolt.MaxKeySize || len(r.Value) > bbolt.MaxValueSize-sealSize {
			return fmt.Errorf("batch: record of %d + %d bytes is too large", len(r.Key), len(r.Value))
		}
	}
	return nil
}

// write is the one goroutine that changes the file.
func (s *Store) write() {
	var failed []*request
	defer func() {
		close(s.done) // first: who hears of the failure may count on it
		answer(failed, func(*request) error { return s.err })
	}()
	for {
		select {
		case <-s.stop:
			s.shut(ErrClosed)
			return
		case first := <-s.requests:
			group := s.gather(first)
			if err := s.apply(group); err != nil {
				// What reached the disk is unknown, and so is what a second
				// sync would say about it: this handle is not used again.
				err = fmt.Errorf("%w: %w", ErrFailed, err)
				s.shut(err)
				failed = group
				return
			}
			answer(group, func(r *request) error { return r.verdict })
		}
	}
}

// gather takes all that waits by now, without the batches whose callers are gone.
func (s *Store) gather(first *request) (group []*request) {
	for r := first; ; {
		if r.settled.CompareAndSwap(false, true) {
			group = append(group, r)
		}
		if len(group) == maxBatches {
			return group
		}
		select {
		case r = <-s.requests:
		default:
			return group
		}
	}
}

// apply writes the group in one transaction, batch after batch: the fence of each
// one is compared with what those before it left. A batch whose fence does not
// hold gets its verdict before anything of it is written, so the others need not
// know. No verdict is told before the sync: it may rest on a batch that is not
// durable yet.
func (s *Store) apply(group []*request) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	ledger, err := openLedger(tx)
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	for _, r := range group {
		if r.verdict, err = ledger.apply(r.batch); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	if !ledger.changed {
		return tx.Rollback()
	}
	if err := ledger.close(); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return s.commit(tx)
}

func answer(group []*request, verdict func(*request) error) {
	for _, r := range group {
		r.answer <- verdict(r)
	}
}

func (s *Store) shut(reason error) {
	s.err = reason
	s.closeErr = letGo(s.path, s.db)
}
