package mutants

import "slices"

// Files, store, wire and kit.
var outside = []Mutant{
	{
		Name: "order-as-text", Bug: "credentials-10 sorts before credentials-9 (S34)",
		File: "fsstaging/name.go", Old: "return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.String(), b.String()))",
		New:     "return cmp.Compare(b.String(), a.String())",
		Package: "./fsstaging", Tests: "TestS34_NumbersSortAsNumbers|TestP5_OrderIsEpochThenVersion",
	},
	{
		Name: "epoch-not-compared", Bug: "a file of a deposed writer is taken for the newest (P5, P6)",
		File: "fsstaging/name.go", Old: "if n.Form == FormChecked && n.Epoch < epoch {", New: "if false {",
		Package: "./fsstaging", Tests: "TestP5_OrderIsEpochThenVersion",
	},
	{
		Name: "half-a-file", Bug: "length and checksum in a file's name are not looked at (F42)",
		File: "fsstaging/name.go", Old: "return n.Form != FormChecked || n.Length == int64(len(data)) && n.CRC == crc32.Checksum(data, castagnoli)", New: "return true",
		Package: "./fsstaging", Tests: "TestF42_CorruptFilesArePassedOver",
	},
	{
		Name: "no-claim", Bug: "two writers of one number overwrite each other (B104)",
		File: "fsstaging/stager.go", Old: "if errors.Is(err, fs.ErrExist) {\n\t\treturn &appregistry.Behind{Epoch: w.epoch, N: w.name.N}\n\t}\n\tif err != nil {\n\t\treturn err\n\t}\n\tinfo",
		New:     "if errors.Is(err, fs.ErrExist) {\n\t\terr = nil\n\t}\n\tif err != nil {\n\t\treturn err\n\t}\n\tinfo",
		Package: "./fsstaging", Tests: "TestB104_ClaimIsExclusive|TestB104_WritersMeetAtTheClaim",
	},
	{
		Name: "wide-modes", Bug: "credentials that others may read are staged and picked up all the same (S22)",
		File: "fsstaging/fsstaging.go", Old: "if extra := (i.Mode.Perm() &^ limit) | i.Mode&special; extra != 0 {", New: "if extra := i.Mode & special; extra != 0 {",
		Package: "./fsstaging", Tests: "TestS22_WideModesAreRefused|TestF43_UnsafeFilesAreRefused",
	},
	{
		Name: "no-sync", Bug: "a commit is acknowledged before the disk has it (B61)",
		File: "appregistry/boltstore/file.go", Old: "Timeout: wait, FreelistType", New: "NoSync: true, Timeout: wait, FreelistType",
		Package: "./appregistry/boltstore", Tests: "TestB61_NothingIsAcknowledgedBeforeTheSync",
	},
	{
		Name: "sealed-and-movable", Bug: "a sealed value opens under another record's key (T-26)",
		File: "appregistry/sealedstore/sealedstore.go", Old: "return with.aead.Seal(out, nil, value, bound(out, recordKey))", New: "return with.aead.Seal(out, nil, value, nil)",
		Package: "./appregistry/sealedstore", Tests: "TestT26_SwappedValuesDoNotOpen",
	},
	{
		Name: "weakest-protection", Bug: "a server can talk us below the least quality of protection (T-14)",
		File: "internal/sasl/sasl.go", Old: "if q >= p.Minimum && slices.Contains(offered, q) {", New: "if slices.Contains(offered, q) {",
		Package: "./internal/sasl", Tests: "TestCH34_DigestQuality|TestCH34_GSSQuality|TestT14_MinimumQuality",
	},
	{
		Name: "server-unproven", Bug: "whoever answers a token login is taken for the server (N27)",
		File: "internal/sasl/digestclient.go", Old: "if !hmac.Equal([]byte(d[\"rspauth\"]), []byte(m.proof.rspauth())) {", New: "if !hmac.Equal([]byte(d[\"rspauth\"]), []byte(m.proof.rspauth())) && m.done {",
		Package: "./internal/sasl", Tests: "TestN27_.*|TestCH33_.*",
	},
	{
		Name: "simple-will-do", Bug: "a server that asks for no login at all gets its way (T-13)",
		File: "internal/hrpc/login.go", Old: "return nil, nil, ErrSimple\n\tcase", New: "return &session{verify: func() error { return nil }}, nil, ErrProtocol\n\tcase",
		Package: "./internal/hrpc", Tests: "TestT13_LoginRefused",
	},
	{
		Name: "any-peer", Bug: "the name of the service that proved itself is not compared (T-17)",
		File: "internal/hrpc/login.go", Old: "return s.verify()\n}", New: "return nil\n}",
		Package: "./internal/hrpc", Tests: "TestT17_ServerName",
	},
	{
		Name: "replayed-wrap", Bug: "a sealed message can be sent to us twice (B34)",
		File: "internal/krb/gss.go", Old: "if seq != s.receive {", New: "if false {",
		Package: "./internal/krb", Tests: "TestUnwrapChecksSequence",
	},
	{
		Name: "stale-ap-rep", Bug: "an old AP-REP passes for the answer to this request (T-17)",
		File: "internal/krb/initiator.go", Old: "if !part.CTime.Equal(i.ctime) || part.Cusec != i.cusec {", New: "if false {",
		Package: "./internal/krb", Tests: "TestT17_RepliesToOtherRequestsAreRefused",
	},
	{
		Name: "many-at-a-slip", Bug: "a selection ends many tokens although nobody said that many are meant (C-V04)",
		File: "internal/control/cancel.go", Old: "case len(hit) > 1 && !sel.Many:", New: "case false:",
		Package: "./internal/control", Tests: "TestCV04_SelectionHitsWhatItNames",
	},
	{
		Name: "keys-lead-astray", Bug: "a damaged key of an inner page has the store loaded without end (B63)",
		File: "appregistry/boltstore/pages.go", Old: "case !w.inOrder(e.key, flags == leafPage):", New: "case false && w.inOrder(e.key, false):",
		Package: "./appregistry/boltstore", Tests: "TestB63_KeysThatLeadAstray",
	},
	{
		Name: "secret-in-print", Bug: "a password is printed by fmt (T-20)",
		File: "plugins/token.go", Old: "func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }", New: "func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, string(s)) }",
		Package: "./plugins", Tests: "TestW11_NoVerbShowsASecret",
	},
	{
		Name: "kit-cancels-anything", Bug: "the kit's NameNode takes a cancel of a token that it does not have (N18)",
		File: "hadooptest/secretmanager.go", Old: "if _, ok := m.tokens[tableKey(id)]; !ok {\n\t\treturn javaError(ClassInvalidToken, \"Token not found", New: "if _, ok := m.tokens[tableKey(id)]; ok && !ok {\n\t\treturn javaError(ClassInvalidToken, \"Token not found",
		Package: "./hadooptest", Tests: "TestCH54_CancelDoesNotLookAtThePassword",
	},
	{
		Name: "kit-in-another-order", Bug: "the kit's NameNode checks the password before the renewer (C-H53)",
		File: "hadooptest/secretmanager.go", Old: "case id.Renewer != renewer:", New: "case known && !hmac.Equal(sign(key.secret, identifier), password):\n\t\treturn time.Time{}, javaError(ClassAccessControl, \"wrong password\")\n\tcase id.Renewer != renewer:",
		Package: "./hadooptest", Tests: "TestCH53_RenewChecksInTheOriginalOrder",
	},
}

// All is every mutant there is.
var All = slices.Concat(engine, outside, network, failover)
