package boltstore_test

import (
	"bufio"
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
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	from, _ := strconv.Atoi(os.Getenv(childFrom))
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
	rounds := 30
	if s := os.Getenv("TOKENWHEEL_KILL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	var path string
	var acknowledged map[int]bool
	total := 0
	for round := range rounds {
		if round%15 == 0 {
			path, acknowledged = filepath.Join(privateDir(t), "apps.db"), map[int]bool{}
		}
		for _, n := range commitUntilKilled(t, path, round*100_000) {
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

// commitUntilKilled runs a child over the store and returns what it acknowledged.
func commitUntilKilled(t *testing.T, path string, from int) (numbers []int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path, childFrom+"="+strconv.Itoa(from))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killAt := rand.IntN(60) // 0: perhaps while it opens the file
	kill := sync.OnceFunc(func() {
		go func() {
			time.Sleep(rand.N(3 * time.Millisecond)) // the moment that is drawn
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
		found[n]++
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
