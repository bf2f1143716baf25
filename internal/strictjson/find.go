package strictjson

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Find reads one value whole, with the checks of [Decode], and returns the part of
// its text that steps lead to: a string is the name of a member, or an index
// written in digits, and an int is an index. found is false where there is none.
func Find(data []byte, steps []any) (part []byte, found bool, err error) {
	if err := checkDepth(data); err != nil {
		return nil, false, err
	}
	d := takeDecoder(data)
	defer d.give()
	f := finder{dec: &d.Decoder, data: data}
	if err = f.value(steps); err == nil {
		err = atEnd(f.dec, data)
	}
	if err != nil {
		return nil, false, explain(err, data)
	}
	return f.part, f.part != nil, nil
}

// finder reads what is beside the path without keeping it. Its recursion is
// bounded by the steps.
type finder struct {
	dec  *jsontext.Decoder
	data []byte
	part []byte
}

func (f *finder) value(steps []any) error {
	if len(steps) == 0 {
		value, err := f.dec.ReadValue()
		end := f.dec.InputOffset()
		if err == nil {
			f.part = f.data[end-int64(len(value)) : end]
		}
		return err
	}
	switch f.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return f.object(steps)
	case jsontext.KindBeginArray:
		return f.array(steps)
	}
	return f.dec.SkipValue()
}

func (f *finder) object(steps []any) error {
	if _, err := f.dec.ReadToken(); err != nil {
		return err
	}
	wanted, isName := steps[0].(string)
	for f.dec.PeekKind() != jsontext.KindEndObject {
		name, err := f.dec.ReadValue()
		if err != nil {
			return err
		}
		if isName && unquote(name) == wanted {
			err = f.value(steps[1:])
		} else {
			err = f.dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := f.dec.ReadToken()
	return err
}

func (f *finder) array(steps []any) error {
	if _, err := f.dec.ReadToken(); err != nil {
		return err
	}
	wanted, isIndex := steps[0].(int)
	if digits, isName := steps[0].(string); isName {
		n, err := strconv.ParseUint(digits, 10, 31)
		wanted, isIndex = int(n), err == nil
	}
	for i := 0; f.dec.PeekKind() != jsontext.KindEndArray; i++ {
		var err error
		if isIndex && i == wanted {
			err = f.value(steps[1:])
		} else {
			err = f.dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := f.dec.ReadToken()
	return err
}
