package varve

import (
	"encoding/hex"
	"encoding/json"
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
	kindVerified   recordKind = "varve.verified"
	kindExpired    recordKind = "varve.expired"
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
	return json.Unmarshal(b, (*plain)(r))
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
	if r.Hash, err = r.hash(); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	return append(out, '\n'), nil
}

// decodeRecord checks the object and fills body. What it cannot read because it is
// newer is a *FormatError, all else a *CorruptError.
func decodeRecord(object string, b []byte, kind recordKind, body any) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return &CorruptError{Object: object, Want: "a record of JSON", Got: err.Error()}
	}
	if r.Format > formatVersion {
		return &FormatError{Object: object, Feature: fmt.Sprintf("format %d", r.Format)}
	}
	if r.Kind != kind {
		return &CorruptError{Object: object, Want: "a record of kind " + string(kind), Got: fmt.Sprintf("kind %q", r.Kind)}
	}
	if i := slices.IndexFunc(r.Requires, func(f string) bool { return !slices.Contains(knownFeatures, f) }); i >= 0 {
		return &FormatError{Object: object, Feature: fmt.Sprintf("the feature %q", r.Requires[i])}
	}
	if r.Format < 1 {
		return &CorruptError{Object: object, Want: "format 1", Got: fmt.Sprintf("format %d", r.Format)}
	}
	want, err := r.hash()
	if err != nil || r.Hash != want {
		return &CorruptError{Object: object, Want: "content with the hash " + r.Hash, Got: want}
	}
	if err := json.Unmarshal(r.Body, body); err != nil {
		return &CorruptError{Object: object, Want: "the fields of " + string(kind), Got: err.Error()}
	}
	return nil
}

// knownFeatures are those that an object may require. Format 1 has none.
var knownFeatures []string

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
