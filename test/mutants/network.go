package mutants

// The way to the services, judged by a bad network and a man in the middle.
var network = []Mutant{
	{
		Name: "deadlines-come-late", Bug: "what ends at a deadline goes on for some seconds more (B13, B16)",
		File: "internal/hrpc/login.go", Old: "_ = setDeadline(time.Unix(1, 0))", New: "_ = setDeadline(time.Now().Add(4 * time.Second))",
		Package: "./internal/faulttest", Tests: "TestB13_SilenceOnTheKit",
	},
	{
		Name: "silent-connection-kept", Bug: "a connection on which a call met its deadline in silence is used again (B13)",
		File: "internal/hrpc/conn.go", Old: "if silent && errors.Is(", New: "if false && silent && errors.Is(",
		Package: "./internal/faulttest", Tests: "TestB13_SilenceOnTheKit",
	},
	{
		Name: "sent-and-forgotten", Bug: "a call whose answer was lost says that nothing was sent (B15)",
		File: "internal/hrpc/conn.go", Old: "return c.lost(method, true, r.err)", New: "return c.lost(method, false, r.err)",
		Package: "./internal/faulttest", Tests: "TestB14_ResetsOnTheKit",
	},
	{
		Name: "second-cancel-fails", Bug: "a cancel that is repeated because its answer was lost is an error (B15)",
		File: "plugins/hdfs/provider.go", Old: "if plugins.KindOf(err) == plugins.KindReplace {\n\t\treturn nil // unknown there", New: "if false {\n\t\treturn nil // unknown there",
		Package: "./internal/faulttest", Tests: "TestB14_ResetsOnTheKit",
	},
	{
		Name: "frames-of-any-length", Bug: "a declared length is waited for, whatever it is (B17)",
		File: "internal/hrpc/frame.go", Old: "if n > int64(limit) {", New: "if false {",
		Package: "./internal/faulttest", Tests: "TestB34_LiesOnTheKit",
	},
	{
		Name: "answers-to-anybody", Bug: "an answer goes to the call that waits, not to the one that it names (B18)",
		File: "internal/hrpc/conn.go", Old: "call, waiting := c.pending[a.id]", New: "call, waiting := c.pending[a.id]\n\tfor id := range c.pending {\n\t\tcall, waiting, a.id = c.pending[id], true, id\n\t}",
		Package: "./internal/faulttest", Tests: "TestB34_LiesOnTheKit",
	},
	{
		Name: "clear-in-a-wrap", Bug: "on a protected connection an answer in clear is believed (B34, T-15)",
		File: "internal/hrpc/wire.go", Old: "if a.id != callSASL || a.head", New: "if n := len(frame); a.id != callSASL {\n\t\treturn append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, frame...), nil\n\t}\n\tif a.id != callSASL || a.head",
		Package: "./internal/faulttest", Tests: "TestB34_LiesOnTheKit",
	},
	{
		Name: "everything-protected", Bug: "a refusal counts as protected whatever came around it (B34)",
		File: "internal/hrpc/errors.go", Old: "== pb.RpcResponseHeaderProto_FATAL, Protected: protected,", New: "== pb.RpcResponseHeaderProto_FATAL, Protected: true,",
		Package: "./internal/faulttest", Tests: "TestB34_LiesOnTheKit",
	},
}
