package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Both sides live through the same number of token lives: 33 renewals by YARN's rule, at nine tenths of a life. YARN's
// rule knows no other time than the token's, so that a life of a second serves it as one of a day. Ours does, and lives
// through its days in time that a test makes pass (losses_test.go).
const (
	lossTokens   = 2000
	lossRenewals = 33
)

// losses counts the tokens that end while calls fail.
func (b *bench) losses(ctx context.Context) error {
	tokens := b.size(lossTokens)
	yarn, err := b.yarn(ctx, nil, "losses", arg("tokens", tokens), arg("life", 1000), arg("renewals", lossRenewals), "percents=1,5")
	if err != nil {
		return err
	}
	for _, percent := range []int{1, 5} {
		ours, err := monthOfOurs(ctx, tokens, percent)
		if err != nil {
			return err
		}
		faults, hit := scripted(tokens, lossRenewals, percent)
		p := strconv.Itoa(percent)
		told, err := yarn.one("scripted-" + p)
		if err != nil {
			return err
		}
		if int(told) != faults {
			return fmt.Errorf("the sides do not follow one script: %d faults here, %.0f at YARN", faults, told)
		}
		lost, err := yarn.one("lost-" + p)
		if err != nil {
			return err
		}
		if int(lost) != hit {
			fmt.Fprintf(os.Stderr, "YARN lost %.0f tokens; the script alone accounts for %d\n", lost, hit)
		}
		b.table.add(row{
			what: fmt.Sprintf("tokens lost of %d, %s %% of calls fail, %d renewals", tokens, p, lossRenewals),
			yarn: lost, ours: ours, unit: "tokens", less: true, aim: "0",
		})
	}
	return nil
}

// lossesEnv asks the test that is our side for a run of "tokens percent".
const lossesEnv = "BESIDE_LOSSES"

// monthOfOurs runs our side as the test it is.
func monthOfOurs(ctx context.Context, tokens, percent int) (lost float64, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=10m", "-v", "-run=^TestM03_NoTokenIsLostToFailedCalls$", ".")
	if cmd.Dir, err = sourceDir(); err != nil {
		return 0, err
	}
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", lossesEnv, tokens, percent))
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("our side: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "lost ") {
			told, err := parseFigures(line)
			if err != nil {
				return 0, err
			}
			return told.one("lost")
		}
	}
	return 0, fmt.Errorf("our side told nothing:\n%s", out)
}
