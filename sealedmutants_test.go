package varve_test

// sealedMutants break what a sealed layer hides, and what binds its parts together.
func sealedMutants() []mutant {
	in := func(test string) []string { return []string{".", "^Test" + test + "$"} }
	seal := func(test string) []string { return []string{"./internal/seal", "^Test" + test + "$"} }
	frame := func(test string) []string { return []string{"./internal/frame", "^Test" + test + "$"} }
	return []mutant{
		{name: "one nonce for all messages", edits: []edit{
			{"internal/seal/datakey.go", "binary.BigEndian.PutUint64(b[4:], n)", "binary.BigEndian.PutUint64(b[4:], 0)"},
		}, test: seal("ObjectsAreBound")},
		{name: "keys of objects are not bound to names", edits: []edit{
			{"internal/seal/datakey.go", `"varve object v1\x00"+name`, `"varve object v1\x00"`},
		}, test: frame("SealedObjectsDoNotOpenAsOthers")},
		{name: "one salt for all objects", edits: []edit{
			{"internal/seal/datakey.go", "	rand.Read(salt[:])\n", ""},
		}, test: frame("SealedRoundTrip")},
		{name: "one data key for all layers", edits: []edit{
			{"sealing.go", "d.key = seal.NewDataKey()", "if d.key, err = seal.ParseDataKey(make([]byte, seal.KeySize)); err != nil {\n		return err\n	}"},
		}, test: in("EachLayerHasItsOwnKey")},
		{name: "what is shown is not bound to what is sealed", vital: true, edits: []edit{
			{"sealedrecord.go", "o.Seal(o.Salt[:], plain, 0, shown)", "o.Seal(o.Salt[:], plain, 0, shown[:0])"},
			{"sealedrecord.go", "r.Sealed[seal.SaltSize:], 0, shown)", "r.Sealed[seal.SaltSize:], 0, shown[:0])"},
		}, test: in("ClearPartOfASealedManifest")},
		{name: "frames open at any place", edits: []edit{
			{"internal/frame/writer.go", "stored, uint64(len(w.index)), nil)", "stored, 0, nil)"},
			{"internal/frame/reader.go", "stored, uint64(i), nil)", "stored, 0, nil)"},
		}, test: frame("SealedObjectsDoNotOpenAsOthers")},
		{name: "a key of a passphrase opens for other layers", edits: []edit{
			{"internal/seal/passphrase.go", "o.Seal(o.Salt[:], k.Bytes(), 0, s.bytes())", "o.Seal(o.Salt[:], k.Bytes(), 0, nil)"},
			{"internal/seal/passphrase.go", "o.Open(nil, w.Key[SaltSize:], 0, s.bytes())", "o.Open(nil, w.Key[SaltSize:], 0, nil)"},
		}, test: seal("Keys")},
		{name: "a key of a service opens for other layers", edits: []edit{
			{"internal/seal/kms.go", "!bytes.Equal(b[KeySize:], s.bytes())", "bytes.Equal(b, s.bytes())"},
		}, test: seal("Keys")},
		{name: "a cost of no threads is believed", edits: []edit{
			{"internal/seal/passphrase.go", " || c.Threads < 1 || c.Threads > highestCost.Threads", ""},
		}, test: seal("PassphraseCost")},
		{name: "any number of costs is paid", edits: []edit{
			{"internal/seal/passphrase.go", "if others >= maxCosts {", "if others < 0 {"},
		}, test: seal("CostsAreBounded")},
		{name: "a keeper's URL is in the error", edits: []edit{
			{"internal/seal/kms.go", `errors.New("keeper cannot be opened")`, `fmt.Errorf("open %s: %w", m.url, err)`},
		}, test: seal("BadKeysSayNothingOfThemselves")},
		{name: "a layer that is not sealed follows sealed ones", edits: []edit{
			{"sealing.go", "case len(ring) == 0 && d.bucket.sealed:", "case len(ring) == 1 && d.bucket.sealed && !ring.seals():"},
		}, test: in("SealedCollectionTakesNothingElse")},
		{name: "who cannot read extends other targets", edits: []edit{
			{"sealing.go", "case parent.Sealing.Targets != r.targetsHash(), parent.Sealing.Spans != r.spansHash():", "case parent.Sealing == nil:"},
		}, test: in("BlindWriter")},
		{name: "added keys are not tried", edits: []edit{
			{"sealed.go", "key, err = seal.UnwrapAny(ctx, b.keys, added, m.scope())", "key, err = seal.UnwrapAny(ctx, b.keys, added[:0], m.scope())"},
		}, test: in("AddKey")},
		{name: "the keys of other layers stay behind", edits: []edit{
			{"sealing.go", "m.others[f.Layer] = key", "_ = key"},
		}, test: in("SealedTables")},
	}
}
