package main

// fails tells whether the nth call about a token fails. The first, at registration, never does. The peer has the same
// lines (LossRow.java), and what the script comes to is compared.
func fails(token, call, percent int) bool {
	z := uint64(token)*0x9E3779B97F4A7C15 + uint64(call)*0xD1B54A32D192ED03 + uint64(percent)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return call > 0 && z%10_000 < uint64(percent)*100
}

// scripted is how many of the first calls after registration fail, and how many tokens one of these hits: as many as a
// rule loses that never tries again.
func scripted(tokens, calls, percent int) (faults, hit int) {
	for token := range tokens {
		before := faults
		for call := 1; call <= calls; call++ {
			if fails(token, call, percent) {
				faults++
			}
		}
		if faults > before {
			hit++
		}
	}
	return faults, hit
}
