package mutants

// The engine and its registry.
var engine = []Mutant{
	{
		Name: "cancel-without-proof", Bug: "a token is cancelled although nothing proves its password (T-01)",
		File: "appregistry/registry.go", Old: "case t.Proof == ProofNone:\n\t\treturn ErrUnproven", New: "case false:\n\t\treturn ErrUnproven",
		Package: "./internal/core", Tests: "TestT01_ForgedPasswordCancelsNothing|TestT01_ContestOfUnprovenPasswords|TestT01_TokenCommands",
	},
	{
		Name: "cancel-while-held", Bug: "who refers to a token is not asked before it is cancelled (P3)",
		File: "appregistry/registry.go", Old: "case r.Referenced(id):\n\t\treturn ErrHeld", New: "case false:\n\t\treturn ErrHeld",
		Package: "./internal/core", Tests: "TestKP15_IntentOfAHeldTokenIsWithdrawn|TestT01_TokenCommands",
	},
	{
		Name: "first-flag-wins", Bug: "a holder who did not ask for cancel is forgotten once he has left, as in YARN (Y36)",
		File: "appregistry/registry.go", Old: "case t.Keep:\n\t\treturn ErrKeep", New: "case false:\n\t\treturn ErrKeep",
		Package: "./internal/core", Tests: "TestY36_OneHolderWhoKeepsIsEnough",
	},
	{
		Name: "key-without-password", Bug: "two passwords of one identifier are taken for one token (T-01)",
		File: "appregistry/record.go", Old: "return sha256.Sum256(appendPart(b, t.Password)), sha256.Sum256(b)", New: "return sha256.Sum256(b), sha256.Sum256(b)",
		Package: "./internal/core", Tests: "TestT01_ForgedPasswordCancelsNothing|TestT01_ContestOfUnprovenPasswords",
	},
	{
		Name: "failed-renewal-dropped", Bug: "a failed renewal is not tried again, as in YARN (Y20)",
		File: "internal/core/renew.go", Old: "t.renewAt = c.sooner(t, c.now.Boot+wait)\n\tc.judgeEnd(t)", New: "_ = wait\n\tc.judgeEnd(t)",
		Package: "./internal/core", Tests: "TestY20_FailedRenewalIsRetriedBeforeTheEnd|TestP2_NothingObtainableIsLost",
	},
	{
		Name: "retry-of-an-hour", Bug: "the wait after a failure does not heed what remains of the token (F14)",
		File: "internal/core/policy.go", Old: "wait = min(wait, remains/3)", New: "_ = remains",
		Package: "./internal/core", Tests: "TestF14_RetryDoublesAndStaysWithinAThird|TestF15_ThreeMoreTriesInFifteenMinutes",
	},
	{
		Name: "no-jitter", Bug: "tokens of one hour are all renewed in one second, for ever (C-V14)",
		File: "internal/core/policy.go", Old: "wait -= fraction(wait, jitter*r.Float64())", New: "_ = r",
		Package: "./internal/core", Tests: "TestCV14_RenewalsSpreadBelowThreeQuarters",
	},
	{
		Name: "break-before-make", Bug: "a replaced token goes before its successor is published (P4)",
		File: "appregistry/registry.go", Old: "return n.lent > 0 || n.published > 0 || n.offered > 0", New: "return n.lent > 0",
		Package: "./internal/core", Tests: "TestP4_OldTokenStaysUntilTheNewOneIsStaged|TestP4_HalfStagedTokenIsNotCancelled|TestP4_TargetsThatStayBehindKeepTheirTokens",
	},
	{
		Name: "acknowledged-in-memory", Bug: "a registration is acknowledged before its commit (P1)",
		File: "internal/core/admit.go", Old: "\tc.commit.waiting = append(c.commit.waiting, waiter{\n\t\trun:  func() { c.acknowledge(a, r, admit, gated) },",
		New:     "\tc.reply(r, Acknowledged, nil)\n\tc.commit.waiting = append(c.commit.waiting, waiter{\n\t\trun:  func() { c.acknowledge(a, r, admit, gated) },",
		Package: "./internal/core", Tests: "TestKP01_FailedCommitRegistersNothing|TestP3_HoldsUnderAnyOrderFaultAndCrash",
	},
	{
		Name: "believes-anybody", Bug: "a terminal answer is believed at once, whatever channel it came through (B34)",
		File: "internal/core/renew.go", Old: "ok && e.Protected {", New: "ok || e == nil {",
		Package: "./internal/core", Tests: "TestB34_ForgedTerminalAnswerReplacesNothing",
	},
	{
		Name: "clock-on-the-wall", Bug: "deadlines follow the wall clock, and jump with it (P11)",
		File: "internal/core/core.go", Old: "c.now, c.out = now, c.out[:0]\n", New: "c.now, c.out = now, c.out[:0]\n\tc.clocks.wall = now.Wall.Add(-now.Boot)\n",
		Package: "./internal/core", Tests: "TestM10_WallClockStepsMoveNoCall",
	},
	{
		Name: "date-believed-at-start", Bug: "a session that begins under a wrong date takes live tokens for fresh ones (P11)",
		File: "internal/core/restore.go", Old: "c.clocks.passed(authority, s.shown, c.now.Boot)", New: "_ = s.shown",
		Package: "./internal/core", Tests: "TestP11_SessionThatBeganUnderAWrongDateLosesNothing",
	},
	{
		Name: "backup-keeps-its-proofs", Bug: "a store restored elsewhere cancels without proving anything again (B69)",
		File: "internal/core/restore.go", Old: "\tif elsewhere {\n", New: "\tif elsewhere && false {\n",
		Package: "./internal/core", Tests: "TestB69_RestoredBackupProvesAgainBeforeCancel",
	},
	{
		Name: "generation-used-twice", Bug: "a new set goes out under the number of the one before (C-S25)",
		File: "internal/core/deliver.go", Old: "\ta.rec.Generation++\n", New: "\ta.rec.Generation = max(a.rec.Generation, 1)\n",
		Package: "./internal/core", Tests: "TestP4_OldTokenStaysUntilTheNewOneIsStaged|TestBehind_NumberAndEpochGoBeyondTheTarget",
	},
	{
		Name: "lent-becomes-owned", Bug: "who was lent a token gets its successor too (decision 2)",
		File: "internal/core/register.go", Old: "return b.Identity == nil || b.Identity.User == \"\" || b.Identity.User != a.User", New: "return false",
		Package: "./internal/core", Tests: "TestDecision2_LentTokenGetsNoSuccessor",
	},
	{
		Name: "never-ends-well", Bug: "a token whose service tells no expiry is never looked at again (SPARK-37787)",
		File: "internal/core/token.go", Old: "life = min(life, max(since+cmp.Or(p.DefaultValidity, 12*time.Hour), now+leastWait))", New: "_, _ = since, cmp.Or(p.DefaultValidity, 12*time.Hour)",
		Package: "./internal/core", Tests: "TestF16_UnknownExpiryHasADefaultValidity",
	},
	{
		Name: "fence-ignored", Bug: "a core whose store was taken over goes on acting (B81)",
		File: "internal/core/commit.go", Old: "\t\tc.stop(ev.Err, aboard)\n", New: "\t\tc.commitFailed(aboard, ev.Err)\n",
		Package: "./internal/core", Tests: "TestB81_DeposedCoreActsNoMore",
	},
	{
		Name: "repeats-unasked", Bug: "a cancel is repeated without a look at whose the store is by now (B81)",
		File: "internal/core/cancel.go", Old: "\tif c.cfg.Volatile {\n\t\tc.cancelRecorded(t)", New: "\tif true {\n\t\tc.cancelRecorded(t)",
		Package: "./internal/core", Tests: "TestB81_DeposedCoreRepeatsNoCancel",
	},
	{
		Name: "storm-goes-on", Bug: "cancels without number go out when all applications leave at once (T-56)",
		File: "internal/core/pause.go", Old: "w.total >= limit {", New: "w.total >= limit && false {",
		Package: "./internal/core", Tests: "TestT56_CancelStormIsPaused",
	},
	{
		Name: "storm-is-everybodys", Bug: "one tenant's departures pause the cancels of all (T-56)",
		File: "internal/core/pause.go", Old: "4*most >= limit {", New: "4*most > 4*limit {",
		Package: "./internal/core", Tests: "TestT56_OneTenantsStormPausesNobodyElse|TestT56_StormIsOfWhoRegistered",
	},
	{
		Name: "counts-drift", Bug: "a token that is forgotten is counted for ever (C-V10)",
		File: "internal/core/token.go", Old: "\tc.counters.tokens[t.rec.State]--\n", New: "",
		Package: "./internal/core", Tests: "TestCV10_CountsAreRightAfterEachStep",
	},
	{
		Name: "answer-is-owed", Bug: "an answer that is an error is waited for for ever (C-Y32)",
		File: "renewer/loop.go", Old: "\t\tif !it.late {\n\t\t\tl.flight--\n", New: "\t\tif ev, ok := it.event.(core.Renewed); !it.late && !(ok && ev.Err != nil) {\n\t\t\tl.flight--\n",
		Package: "./renewer", Tests: "TestCY32_PoolIsEmptyAfterAHundredThousandRenewals",
	},
	{
		Name: "panic-passes-through", Bug: "a provider that panics takes the process along (YARN-11384)",
		File: "renewer/pool.go", Old: "if err := panicError(recover()); err != nil {\n\t\t\tev = core.Failed(a, err)\n\t\t}", New: "_ = ev",
		Package: "./renewer", Tests: "TestY19_PanicIsAnErrorOfThatJob",
	},
	{
		Name: "hung-for-ever", Bug: "nobody answers for a call that never returns (B12)",
		File: "renewer/watch.go", Old: "w.timer.Reset(time.Until(at))", New: "_ = at",
		Package: "./renewer", Tests: "TestCalls_ThatHangAreEachAnsweredForInTheirTime",
	},
	{
		Name: "launcher-takes-it-along", Bug: "a group's token ends with the launcher that brought it (Oozie, MAPREDUCE-1430)",
		File: "internal/core/group.go", Old: "\tif c.heir(rec) != nil {\n\t\tbehind = ", New: "\tif rec.App.Group == \"\" {\n\t\tbehind = ",
		Package: "./internal/core", Tests: "TestGroup_LauncherEndsFirst|TestGroup_KeepAndReplacedTokens",
	},
	{
		Name: "no-bulkhead", Bug: "a service may have any number of calls at a time (P8)",
		File: "internal/dispatch/service.go", Old: "return s.running < s.limits.Share && s.running-s.hung < int(s.share) && s.waits()", New: "return s.waits()",
		Package: "./internal/dispatch", Tests: "TestStart_GivesEachServiceItsShare|TestB29_OverloadHalvesTheShare",
	},
	{
		Name: "overload-ignored", Bug: "a service that says it is busy is called as before (B29)",
		File: "internal/dispatch/service.go", Old: "s.rate = max(s.limits.Rate*slowestPart, min(s.limits.Rate, slowest), s.rate/2)", New: "_ = slowest",
		Package: "./internal/dispatch", Tests: "TestB29_OverloadHalvesThePaceAndSuccessesRaiseIt",
	},
	{
		Name: "fires-early", Bug: "the wheel rounds a due time down, so that things happen before their time (B94)",
		File: "internal/wheel/wheel.go", Old: "if d%Resolution > 0 && t < latest {", New: "if false {",
		Package: "./internal/wheel", Tests: "TestB94_Edges|TestM11_SortedList",
	},
}
