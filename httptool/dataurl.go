package httptool

import (
	"encoding/base64"
	"errors"
	"mime"
	"net/url"
	"strings"
)

var errBase64 = errors.New("is not valid base64")

// looseBase64 makes the standard alphabet of what may be the URL-safe one, and
// drops white space.
var looseBase64 = strings.NewReplacer("-", "+", "_", "/", " ", "", "\t", "", "\n", "", "\f", "", "\r", "")

// decodeBase64 decodes base64 of either alphabet (RFC 4648), padded or not, and
// across lines.
func decodeBase64(s string) ([]byte, error) {
	s = looseBase64.Replace(s)
	if len(s)%4 == 0 {
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	decoded, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil { // its text is about an offset in what was made of s
		return nil, errBase64
	}
	return decoded, nil
}

// decodeDataURL reads a data: URL (RFC 2397). Like browsers it takes base64 of
// any spelling, drops a fragment and passes over parameters that are none
// (";utf8").
func decodeDataURL(s string) (mediaType string, content []byte, err error) {
	const scheme = "data:"
	s = strings.TrimSpace(s)
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return "", nil, errors.New("is no data: URL")
	}
	s, _, _ = strings.Cut(s[len(scheme):], "#")
	mediaType, data, found := strings.Cut(s, ",")
	if !found {
		return "", nil, errors.New("is a data: URL without a comma, after which its data stands")
	}
	mediaType, isBase64 := cutBase64(strings.TrimSpace(mediaType))
	if mediaType, err = dataMediaType(mediaType); err != nil {
		return "", nil, err
	}
	if data, err = url.PathUnescape(data); err != nil {
		return "", nil, errors.New("is a data: URL with a % that escapes nothing: write %25")
	}
	if !isBase64 {
		return mediaType, []byte(data), nil
	}
	content, err = decodeBase64(data)
	return mediaType, content, err
}

func cutBase64(mediaType string) (rest string, isBase64 bool) {
	last := strings.LastIndexByte(mediaType, ';')
	if last < 0 || !strings.EqualFold(strings.TrimSpace(mediaType[last+1:]), "base64") {
		return mediaType, false
	}
	return mediaType[:last], true
}

func dataMediaType(s string) (string, error) {
	if s == "" || s[0] == ';' {
		s = "text/plain" + s
		if s == "text/plain" {
			s += ";charset=US-ASCII"
		}
	}
	mediaType, parameters, err := mime.ParseMediaType(s)
	if errors.Is(err, mime.ErrInvalidMediaParameter) {
		err, parameters = nil, nil
	}
	formatted := mime.FormatMediaType(mediaType, parameters)
	if err != nil || !strings.Contains(mediaType, "/") || formatted == "" {
		return "", errors.New("is a data: URL whose media type is none")
	}
	return formatted, nil
}
