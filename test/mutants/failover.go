package mutants

// Services of several servers, and what they forget.
var failover = []Mutant{
	{
		Name: "order-forgotten", Bug: "which NameNode served last is not remembered: each call asks the standby first (B10)",
		File: "internal/hrpc/addresses.go", Old: "\t\t\ta.first.Store(int64(n))\n\t\t\treturn walk{settled: true}\n", New: "\t\t\treturn walk{settled: true}\n",
		Package: "./internal/hrpc", Tests: "TestB10_StandbyIsPassedOverAndRemembered",
	},
	{
		Name: "no-patience", Bug: "a call fails while the other NameNode is about to become active (N24)",
		File: "internal/hrpc/addresses.go", Old: "len(a.list) == 1 || round == rounds", New: "len(a.list) == 1 || round == 1",
		Package: "./internal/hrpc", Tests: "TestN24_TransitionIsWaitedFor",
	},
	{
		Name: "one-opinion", Bug: "one NameNode's word that a token is unknown is believed (N25)",
		File: "internal/hrpc/addresses.go", Old: "case again && isClass(err, InvalidToken)", New: "case false && isClass(err, InvalidToken)",
		Package: "./plugins/hdfs", Tests: "TestN25_StaleNameNodeIsNotBelieved",
	},
	{
		Name: "obtain-twice", Bug: "an obtain whose answer was lost is repeated unnoticed (B11)",
		File: "plugins/hdfs/provider.go", Old: "p.addresses[name].Once(", New: "p.addresses[name].Again(",
		Package: "./plugins/hdfs", Tests: "TestB11_FailoverInMidCall",
	},
	{
		Name: "orphan-untold", Bug: "nobody is told of a token that a lost answer may have issued (B11)",
		File: "internal/core/obtain.go", Old: "|| plugins.CodeOf(ev.Err) == plugins.CodeAnswerLost", New: "",
		Package: "./internal/core", Tests: "TestB11_ObtainWhoseAnswerIsLost",
	},
	{
		Name: "young-and-dead", Bug: "a token is given up at the first denial, a moment after it was issued (N25)",
		File: "internal/core/renew.go", Old: "kind == plugins.KindReplace && c.unsettled(t)", New: "false",
		Package: "./internal/core", Tests: "TestN25_YoungUnknownTokenIsAskedForTwice",
	},
	{
		Name: "neighbours-unasked", Bug: "after a format each application stands still until its own token's next renewal (B26)",
		File: "internal/core/renew.go", Old: "\t\tc.askNeighbours(t)\n", New: "",
		Package: "./renewer", Tests: "TestB26_ServiceForgotEverything",
	},
	{
		Name: "old-address-forgotten", Bug: "a token whose NameNode moved is nobody's (B31)",
		File: "plugins/hdfs/services.go", Old: "known = append(slices.DeleteFunc(known, func(k string) bool { return k == text }), text)", New: "known = []string{text}",
		Package: "./plugins/hdfs", Tests: "TestB31_NameNodeMoves",
	},
	{
		Name: "obtain-leaks", Bug: "the connection of an obtain stays open (Y32)",
		File: "plugins/hdfs/provider.go", Old: "\t\tdefer conn.Close()\n\t\treturn conn.Call(ctx, \"getDelegationToken\"", New: "\t\treturn conn.Call(ctx, \"getDelegationToken\"",
		Package: "./plugins/hdfs", Tests: "TestY32_ObtainsLeaveNothingBehind",
	},
}
