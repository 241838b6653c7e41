package varve

import (
	"encoding/json"
	"fmt"

	"github.com/varvekv/varve/internal/seal"
)

// encodeSealed is a record with a clear body and sealed content, which go together.
func encodeSealed(kind recordKind, requires []string, clear, content any, key *seal.DataKey, object string) ([]byte, error) {
	body, err := json.Marshal(clear)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	r := record{Kind: kind, Format: formatVersion, Requires: append(requires, featureSealed), Body: body}
	o, err := key.NewObject(object)
	if err != nil {
		return nil, err
	}
	shown, err := r.shown()
	if err != nil {
		return nil, err
	}
	r.Sealed = o.Seal(o.Salt[:], plain, 0, shown)
	return r.encode()
}

// open fills content with what is sealed in a record.
func (r record) open(object string, key *seal.DataKey, content any) error {
	bad := func(got string) error {
		return &CorruptError{Object: object, Want: "content as it was sealed", Got: got}
	}
	if len(r.Sealed) < seal.SaltSize {
		return bad(fmt.Sprintf("%d bytes", len(r.Sealed)))
	}
	o, err := key.Object([seal.SaltSize]byte(r.Sealed), object)
	if err != nil {
		return err
	}
	shown, err := r.shown()
	if err != nil {
		return err
	}
	plain, err := o.Open(nil, r.Sealed[seal.SaltSize:], 0, shown)
	if err != nil {
		return bad(err.Error())
	}
	if err := json.Unmarshal(plain, content); err != nil {
		return bad(err.Error())
	}
	return nil
}
