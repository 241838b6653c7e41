package varve

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/seal"
)

// sealedSeed is the clear body and the content of the manifest of a layer that is sealed.
func sealedSeed(t testing.TB, layer LayerInfo) (shown, content []byte) {
	t.Helper()
	m := possibleManifest(layer)
	m.Sealing = &Sealing{Keys: []seal.Wrapped{{Kind: "age", Key: []byte("wrapped")}}, Objects: m.FileList, Targets: "blake3:00"}
	all, err := json.Marshal(m)
	require.NoError(t, err)
	shown, err = json.Marshal(m.clear())
	require.NoError(t, err)
	content, err = json.Marshal(sealedManifest{Manifest: all, Keys: map[string][]byte{testID(9): make([]byte, seal.KeySize)}})
	require.NoError(t, err)
	return shown, content
}

// FuzzSealedManifest seals arbitrary content beside an arbitrary clear body, as whoever has
// the key of a recipient can. What opens shows what it holds, and is possible.
func FuzzSealedManifest(f *testing.F) {
	for _, l := range []LayerInfo{layerAt(1, none, 1), layerAt(2, layerAt(1, none, 1), 2)} {
		l.Path = goldenPath
		shown, content := sealedSeed(f, l)
		f.Add(shown, content)
		_, other := sealedSeed(f, layerAt(3, none, 1))
		f.Add(shown, other)
	}
	f.Add([]byte(`{}`), []byte(`{"manifest":{},"keys":{"x":"AA=="}}`))
	f.Add([]byte(`{"sealing":null}`), []byte(`null`))
	key := seal.NewDataKey()
	object := manifestObject(goldenPath)
	f.Fuzz(func(t *testing.T, shown, content []byte) {
		b, err := encodeSealed(kindLayer, nil, json.RawMessage(shown), json.RawMessage(content), key, object)
		if err != nil {
			return
		}
		m, err := decodeManifest(object, goldenPath, b)
		if err != nil {
			requireDamage(t, err)
			return
		}
		require.Error(t, m.readable())
		before := *m
		if err := m.open(key); err != nil {
			requireDamage(t, err)
			require.Equal(t, before.clear(), m.clear(), "what does not open stays as it is")
			return
		}
		require.NoError(t, m.readable())
		require.NoError(t, m.validate())
		require.Equal(t, before.info(), m.info())
		require.Equal(t, goldenPath, m.Path)
		b, err = m.encode()
		require.NoError(t, err)
		again, err := decodeManifest(object, goldenPath, b)
		require.NoError(t, err)
		require.NoError(t, again.open(key))
		again.sealer, m.sealer = sealer{}, sealer{}
		require.Equal(t, m, again)
	})
}

func requireDamage(t *testing.T, err error) {
	t.Helper()
	var c *CorruptError
	var n *FormatError
	require.True(t, errors.Is(err, ErrNoLayer) || errors.As(err, &c) || errors.As(err, &n), "%v", err)
}

// TestEveryBitOfASealedRecord counts, in whatever it stands: names that differ in capitals
// alone, and base64 with bits that nobody decodes.
func TestEveryBitOfASealedRecord(t *testing.T) {
	t.Parallel()
	key := seal.NewDataKey()
	for n := range 3 { // lengths that base64 pads otherwise
		b, err := encodeSealed(kindLayer, nil, map[string]string{"a": "b"}, strings.Repeat("x", n), key, "o")
		require.NoError(t, err)
		_, err = parseRecord("o", b, kindLayer)
		require.NoError(t, err)
		for i := range 8 * len(b) {
			flipped := bytes.Clone(b)
			flipped[i/8] ^= 1 << (i % 8)
			if r, err := parseRecord("o", flipped, kindLayer); err == nil {
				require.True(t, isSpace(b[i/8]) && isSpace(flipped[i/8]), "bit %d of byte %d: %q", i%8, i/8, r.Requires)
			}
		}
	}
}

func isSpace(c byte) bool { return strings.IndexByte(" \t\r\n", c) >= 0 }

// FuzzOpenRecord puts arbitrary bytes where something sealed must be: they do not open.
func FuzzOpenRecord(f *testing.F) {
	key := seal.NewDataKey()
	object := manifestObject(goldenPath)
	b, err := encodeSealed(kindLayer, nil, struct{}{}, struct{}{}, key, object)
	require.NoError(f, err)
	r, err := parseRecord(object, b, kindLayer)
	require.NoError(f, err)
	f.Add(r.Sealed[:len(r.Sealed)-1], []byte(r.Body))
	f.Add(r.Sealed, []byte(`{"a":1}`))
	f.Add([]byte{}, []byte(`{}`))
	f.Add(r.Sealed[:seal.SaltSize], []byte(`{}`))
	f.Fuzz(func(t *testing.T, sealed, body []byte) {
		forged := r
		forged.Sealed, forged.Body = sealed, body
		if string(sealed) == string(r.Sealed) && string(body) == string(r.Body) {
			return
		}
		var content json.RawMessage
		require.Error(t, forged.open(object, key, &content))
		require.Nil(t, content)
	})
}

// FuzzKeyRecord decodes added keys that nobody has added.
func FuzzKeyRecord(f *testing.F) {
	for _, r := range []keyRecord{{}, {Layer: testID(1), Key: seal.Wrapped{Kind: "kms", Hint: "00", Key: []byte("k"), Needs: json.RawMessage(`{"time":1}`)}}} {
		b, err := json.Marshal(r)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := encodeRecord(kindKey, json.RawMessage(body))
		if err != nil {
			return
		}
		var r, again keyRecord
		if decodeRecord("o", b, kindKey, &r) != nil {
			return
		}
		out, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(out, &again))
		out2, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(out), string(out2))
	})
}
