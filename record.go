package varve

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
)

// formatVersion is the format of collections that this version writes, and the
// newest that it reads.
const formatVersion = 1

// record is the outer form of every small object: plain JSON whose body says what
// it is about. Its hash makes an edit or a cut visible.
type record struct {
	Kind     recordKind      `json:"kind"`
	Format   int             `json:"format"`
	Requires []string        `json:"requires,omitempty"` // features without which it must not be read
	Hash     string          `json:"hash"`
	Body     json.RawMessage `json:"body"`
	Sealed   []byte          `json:"sealed,omitempty"` // a salt, and what only a key shows
}

type recordKind string

const (
	kindCollection recordKind = "varve.collection"
	kindClaim      recordKind = "varve.claim"
	kindIndex      recordKind = "varve.index"
	kindLayer      recordKind = "varve.layer"
	kindVoid       recordKind = "varve.void" // where a manifest would be, of a layer declared dead
	kindRef        recordKind = "varve.ref"
	kindRetired    recordKind = "varve.retired"
	kindKey        recordKind = "varve.key"
	kindVerified   recordKind = "varve.verified"
	kindExpired    recordKind = "varve.expired"
	kindJob        recordKind = "varve.job"
	kindProgress   recordKind = "varve.progress"
)

// UnmarshalJSON insists on the members by their exact names, where encoding/json
// takes "BODY" for "body": no changed letter must go unnoticed.
func (r *record) UnmarshalJSON(b []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	for _, name := range []string{"kind", "format", "hash", "body"} {
		if members[name] == nil {
			return fmt.Errorf("no member %q", name)
		}
	}
	type plain record
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	if members["requires"] == nil && r.Requires != nil || members["sealed"] == nil && r.Sealed != nil {
		return errors.New("a member with the name of another but for capitals")
	}
	// Base64 has bits at its end that decoders pass over, and line breaks.
	if sealed, err := json.Marshal(r.Sealed); r.Sealed != nil && (err != nil || !bytes.Equal(members["sealed"], sealed)) {
		return errors.New(`member "sealed" is not spelled as it is written`)
	}
	return nil
}

// recordHead is how many bytes of a record are enough to see its kind.
const recordHead = 64

// encodeRecord is the object as it is stored.
func encodeRecord(kind recordKind, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	r := record{Kind: kind, Format: formatVersion, Body: b}
	if m, ok := body.(*Manifest); ok {
		r.Requires = m.requires()
	}
	return r.encode()
}

func (r record) encode() (_ []byte, err error) {
	if r.Hash, err = r.hash(); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Kind, err)
	}
	return append(out, '\n'), nil
}

// decodeRecord checks the object and fills body. What it cannot read because it is
// newer is a *FormatError, all else a *CorruptError.
func decodeRecord(object string, b []byte, kind recordKind, body any) error {
	r, err := parseRecord(object, b, kind)
	if err != nil {
		return err
	}
	return r.decode(object, body)
}

func (r record) decode(object string, body any) error {
	if err := json.Unmarshal(r.Body, body); err != nil {
		return &CorruptError{Object: object, Want: "the fields of " + string(r.Kind), Got: err.Error()}
	}
	return nil
}

// parseRecord checks the record around a body.
func parseRecord(object string, b []byte, kind recordKind) (r record, _ error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, &CorruptError{Object: object, Want: "a record of JSON", Got: err.Error()}
	}
	if r.Format > formatVersion {
		return r, &FormatError{Object: object, Feature: fmt.Sprintf("format %d", r.Format)}
	}
	if r.Kind != kind {
		return r, &CorruptError{Object: object, Want: "a record of kind " + string(kind), Got: fmt.Sprintf("kind %q", r.Kind)}
	}
	if i := slices.IndexFunc(r.Requires, func(f string) bool { return !slices.Contains(knownFeatures, f) }); i >= 0 {
		return r, &FormatError{Object: object, Feature: fmt.Sprintf("the feature %q", r.Requires[i])}
	}
	if r.Format < 1 {
		return r, &CorruptError{Object: object, Want: "format 1", Got: fmt.Sprintf("format %d", r.Format)}
	}
	want, err := r.hash()
	if err != nil || r.Hash != want {
		return r, &CorruptError{Object: object, Want: "content with the hash " + r.Hash, Got: want}
	}
	return r, nil
}

// featureNoSpans is of a layer whose objects have no data: readers before it insist on
// spans. featureSealed is of a record that a reader without a key knows only in part.
const (
	featureNoSpans = "no-spans"
	featureSealed  = "sealed"
)

// knownFeatures are those that an object may require.
var knownFeatures = []string{featureNoSpans, featureSealed}

// hash is over the compact JSON of the record with an empty hash.
func (r record) hash() (string, error) {
	r.Hash = ""
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", r.Kind, err)
	}
	h := blake3.Sum256(b)
	return "blake3:" + hex.EncodeToString(h[:]), nil
}

// shown is the compact JSON of what a record shows, to be sealed together with what it
// hides.
func (r record) shown() ([]byte, error) {
	r.Hash, r.Sealed = "", nil
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", r.Kind, err)
	}
	return b, nil
}
