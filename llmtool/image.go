package llmtool

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
)

// The bounds of the images of one prompt: what all of the providers take.
const (
	maxImages     = 20
	maxImageBytes = 5 << 20  // of one
	maxImagesSize = 15 << 20 // of all; as base64 that is Google's 20 MiB
)

// imageTypes are the types of images that all of the providers take.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// showing evaluates the templates of images. What is absent shows nothing.
func (t *Tool) showing(s *expression.Scope) ([]Image, error) {
	var images []Image
	size := 0
	for i, template := range t.images {
		v, present, err := template.Value(s)
		if err != nil {
			return nil, err
		}
		if !present {
			continue
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		if len(images)+len(list) > maxImages {
			return nil, badImage(i, fmt.Sprintf("makes it more than %d images", maxImages))
		}
		for _, v := range list {
			image, wrong := parseImage(v)
			if size += len(image.Data); wrong == "" && size > maxImagesSize {
				wrong = fmt.Sprintf("makes it more than %d MiB of images", maxImagesSize>>20)
			}
			if wrong != "" {
				return nil, badImage(i, wrong)
			}
			images = append(images, image)
		}
	}
	return images, nil
}

func badImage(i int, wrong string) error {
	return errclass.Newf(errclass.ConfigurationError, errclass.BadExpression, "images/%d %s", i, wrong)
}

// parseImage reads an image, or says what is wrong with it, without its words.
func parseImage(v any) (image Image, wrong string) {
	source, _ := v.(string)
	const scheme = "data:"
	if len(source) >= len(scheme) && strings.EqualFold(source[:len(scheme)], scheme) {
		return parseDataURL(source[len(scheme):])
	}
	u, err := url.Parse(source)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return Image{}, "is neither an https URL nor a data URL of an image"
	}
	kind := "image/" + strings.TrimPrefix(strings.ToLower(path.Ext(u.Path)), ".")
	if kind == "image/jpg" {
		kind = "image/jpeg"
	}
	if !slices.Contains(imageTypes, kind) {
		kind = ""
	}
	return Image{URL: source, MediaType: kind}, ""
}

func parseDataURL(rest string) (image Image, wrong string) {
	kind, encoded, _ := strings.Cut(rest, ",")
	kind, isBase64 := strings.CutSuffix(strings.ToLower(kind), ";base64")
	switch {
	case !slices.Contains(imageTypes, kind):
		return Image{}, "must be one of: " + strings.Join(imageTypes, ", ")
	case !isBase64:
		return Image{}, "must be a data URL in base64"
	case base64.StdEncoding.DecodedLen(len(encoded)) > maxImageBytes+3:
		return Image{}, fmt.Sprintf("is larger than %d MiB", maxImageBytes>>20)
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil || len(data) == 0:
		return Image{}, "is no valid base64"
	case len(data) > maxImageBytes:
		return Image{}, fmt.Sprintf("is larger than %d MiB", maxImageBytes>>20)
	}
	return Image{MediaType: kind, Data: data}, ""
}

// dataURL is the image as a URL: its own, or one that holds the data.
func (i Image) dataURL() string {
	if i.URL != "" {
		return i.URL
	}
	return "data:" + i.MediaType + ";base64," + base64.StdEncoding.EncodeToString(i.Data)
}
