package boltstore_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

const (
	childPath = "TOKENWHEEL_TEST_STORE"
	childFrom = "TOKENWHEEL_TEST_FROM"
	childCare = "TOKENWHEEL_TEST_CARE"
)

// privateDir is a directory as Open wants it, whatever the umask.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// childMain is the process that is killed: eight writers commit pairs of records
// and print the number of each pair once it is acknowledged.
func childMain() bool {
	path := os.Getenv(childPath)
	if path == "" {
		return false
	}
	from, _ := strconv.Atoi(os.Getenv(childFrom))
	if os.Getenv(childCare) != "" {
		fmt.Println("error:", compactForEver(path, from))
		os.Exit(1)
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	var mu sync.Mutex // guards standard output: lines are whole
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := from + w; ; n += 8 {
				err := s.Commit(context.Background(), appregistry.Batch{Put: pair(n)})
				mu.Lock()
				if err != nil {
					fmt.Println("error:", err)
				} else {
					fmt.Println(n)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return true
}

// compactForEver commits a few pairs, compacts the store and backs it up, again and
// again. The last backup is always there.
func compactForEver(path string, from int) error {
	backup := path + ".copy"
	for n := from; ; n += 3 {
		s, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			return err
		}
		for i := range 3 {
			if err := s.Commit(context.Background(), appregistry.Batch{Put: pair(n + i)}); err != nil {
				return err
			}
			fmt.Println(n + i)
		}
		if err := s.Close(); err != nil {
			return err
		}
		if _, _, err := boltstore.Compact(path, boltstore.Options{}); err != nil {
			return err
		}
		next := fmt.Sprintf("%s.%d", backup, n)
		if err := boltstore.Backup(path, next, boltstore.Options{}); err != nil {
			return err
		}
		if err := os.Rename(next, backup); err != nil {
			return err
		}
	}
}

// pair is what is committed as number n: two records far apart in the file, of a
// size that makes pages split.
func pair(n int) []appregistry.Record {
	value := []byte(strings.Repeat(strconv.Itoa(n)+" ", 20+n%300))
	return []appregistry.Record{
		{Key: fmt.Appendf(nil, "a%08d", n), Value: value},
		{Key: fmt.Appendf(nil, "b%08d", n), Value: value},
	}
}

// TestP1_KilledWhileCommitting kills a process that commits, opens what it left,
// and finds each acknowledged pair, no half of any other one, and a file that
// verifies. The kill comes after a random number of acknowledgements and a random
// moment more. Fifteen rounds share a file. TOKENWHEEL_KILL_ROUNDS sets the number
// of rounds.
//
// Shows: B61, as far as a killed process can: the machine goes on.
func TestP1_KilledWhileCommitting(t *testing.T) {
	rounds := killRounds(t, 30)
	var path string
	var acknowledged map[int]bool
	total := 0
	for round := range rounds {
		if round%15 == 0 {
			path, acknowledged = filepath.Join(privateDir(t), "apps.db"), map[int]bool{}
		}
		for _, n := range commitUntilKilled(t, path, round*100_000, 60) {
			acknowledged[n] = true
			total++
		}
		checkPairs(t, path, acknowledged)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d rounds, %d acknowledged pairs, all there", rounds, total)
}

// TestKP20_KilledWhileCompactingOrBackingUp kills a process that does little else.
// The store then has each acknowledged pair, so has each backup there is those
// from before it, and nothing half written stays beside the store once it is open.
func TestKP20_KilledWhileCompactingOrBackingUp(t *testing.T) {
	path, acknowledged := filepath.Join(privateDir(t), "apps.db"), map[int]bool{}
	for round := range killRounds(t, 30) {
		watched := watchPlace(path)
		for _, n := range commitUntilKilled(t, path, round*100_000, 9, childCare+"=1") {
			acknowledged[n] = true
		}
		if err := watched(); err != nil {
			t.Error(err)
		}
		checkPairs(t, path, acknowledged)
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		if err != nil {
			t.Fatal(err)
		}
		hidden, err := filepath.Glob(filepath.Join(filepath.Dir(path), boltstore.Pattern(path)))
		if err != nil || len(hidden) > 0 {
			t.Errorf("%v stay, %v", hidden, err)
		}
		for _, name := range left {
			if strings.HasPrefix(name, path+".copy") {
				checkPairs(t, name, nil)
			}
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d acknowledged pairs, all there", len(acknowledged))
}

// watchPlace looks at a store all the time, until end is called: once it is there it
// is never missing, or the next start would begin with an empty one.
func watchPlace(path string) (end func() error) {
	stop, answer := make(chan struct{}), make(chan error, 1)
	go func() {
		there := false
		for {
			select {
			case <-stop:
				answer <- nil
				return
			default:
			}
			info, err := os.Stat(path)
			if err == nil && info.Size() > 0 {
				there = true
			} else if there {
				answer <- fmt.Errorf("the store was missing for a moment, or empty: %w", cmp.Or(err, io.ErrUnexpectedEOF))
				return
			}
		}
	}()
	return func() error { close(stop); return <-answer }
}

// killRounds is how often a child is killed.
func killRounds(t *testing.T, rounds int) int {
	t.Helper()
	if s := os.Getenv("TOKENWHEEL_KILL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return rounds
}

// commitUntilKilled runs a child over the store and returns what it acknowledged:
// most numbers at the most, give or take what it says before it dies.
func commitUntilKilled(t *testing.T, path string, from, most int, env ...string) (numbers []int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(append(os.Environ(), childPath+"="+path, childFrom+"="+strconv.Itoa(from)), env...)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killAt := rand.IntN(most) // 0: perhaps while it opens the file
	after := 3 * time.Millisecond
	if len(env) > 0 {
		after = 60 * time.Millisecond // a compaction and a backup take about that
	}
	kill := sync.OnceFunc(func() {
		go func() {
			time.Sleep(rand.N(after)) // the moment that is drawn
			_ = child.Process.Kill()
		}()
	})
	if killAt == 0 {
		kill()
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // a last line without its end was not acknowledged to anybody
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Errorf("child says %q", line)
			kill()
			continue
		}
		if numbers = append(numbers, n); len(numbers) >= killAt {
			kill()
		}
	}
	_ = child.Wait() // killed
	return numbers
}

func checkPairs(t *testing.T, path string, acknowledged map[int]bool) {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[int]int{}
	err = s.Load(t.Context(), func(key, value []byte) error {
		n, err := strconv.Atoi(string(key[1:]))
		if err != nil {
			return err
		}
		if want := pair(n)[0].Value; string(value) != string(want) {
			t.Errorf("record %s is not what was committed", key)
		}
		if found[n]++; found[n] > 2 { // else a walk in a circle would not end
			return fmt.Errorf("record %s comes again", key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range acknowledged {
		if found[n] == 0 {
			t.Errorf("pair %d was acknowledged and is lost", n)
		}
	}
	for n, half := range found {
		if half != 2 {
			t.Errorf("half of pair %d is there", n)
		}
	}
}
