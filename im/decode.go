package im

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors of Decode and ToUTF8.
var (
	ErrEncoding = errors.New("the encoding is not known")
	ErrCharset  = errors.New("the charset is not known")
	ErrContent  = errors.New("the content is malformed")
	ErrTooLarge = errors.New("the decoded content is too large")
)

// Decode returns a body without its Content-Transfer-Encoding and its Content-Encoding, which
// was applied before. Each is the value of a header field, which may list several encodings.
// A decoded body has at most limit bytes; one that is not encoded is returned as it is.
func Decode(body []byte, transfer, content string, limit int) ([]byte, error) {
	var err error
	for _, list := range []string{transfer, content} {
		names := strings.Split(fold(list), ",")
		if len(names) > maxEncodings {
			return nil, ErrEncoding
		}
		for _, name := range slices.Backward(names) { // the last one was applied last
			if body, err = decodeOne(body, strings.TrimSpace(name), limit); err != nil {
				return nil, err
			}
		}
	}
	return body, nil
}

// maxEncodings is the number of encodings that may be applied one after the other.
const maxEncodings = 3

// decodeOne undoes one encoding.
func decodeOne(body []byte, name string, limit int) ([]byte, error) {
	var r io.Reader
	var err error
	switch name {
	case "", "identity", "7bit", "8bit", "binary":
		return body, nil
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		// Some senders write the bare data of RFC 1951 instead of RFC 1950.
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, ErrEncoding
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case len(b) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	return b, nil
}

// IsUTF8 reports whether a charset, in lower case, is UTF-8 or ASCII, or is not given.
func IsUTF8(charset string) bool {
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// asciiCharsets are the beginnings of the names of charsets in which every byte of a control
// character or of an ASCII letter means that character.
var asciiCharsets = []string{
	"iso-8859-", "iso_8859-", "windows-", "cp125", "koi8-", "latin", "gb2312", "gbk", "gb18030", "big5", "euc-", "shift_jis", "tis-620",
}

// IsASCIIBased reports whether ASCII text may be put before a text in a charset, in lower
// case.
func IsASCIIBased(charset string) bool {
	if IsUTF8(charset) {
		return true
	}
	for _, c := range asciiCharsets {
		if strings.HasPrefix(charset, c) {
			return true
		}
	}
	return false
}

// ToUTF8 converts a text in a charset, in lower case, to UTF-8. Bytes that are no character
// become U+FFFD. The error is ErrCharset for a charset that it cannot convert.
func ToUTF8(b []byte, charset string) (string, error) {
	switch charset {
	case "iso-8859-1", "iso_8859-1", "latin1":
		rs := make([]rune, len(b))
		for i, c := range b {
			rs[i] = rune(c)
		}
		return string(rs), nil
	case "utf-16", "ucs-2", "iso-10646-ucs-2":
		if bytes.HasPrefix(b, []byte{0xff, 0xfe}) {
			return fromUTF16(b[2:], binary.LittleEndian), nil
		}
		return fromUTF16(bytes.TrimPrefix(b, []byte{0xfe, 0xff}), binary.BigEndian), nil
	case "utf-16be":
		return fromUTF16(b, binary.BigEndian), nil
	case "utf-16le":
		return fromUTF16(b, binary.LittleEndian), nil
	case "utf-32", "ucs-4", "iso-10646-ucs-4":
		if bytes.HasPrefix(b, []byte{0xff, 0xfe, 0, 0}) {
			return fromUTF32(b[4:], binary.LittleEndian), nil
		}
		return fromUTF32(bytes.TrimPrefix(b, []byte{0, 0, 0xfe, 0xff}), binary.BigEndian), nil
	case "utf-32be":
		return fromUTF32(b, binary.BigEndian), nil
	case "utf-32le":
		return fromUTF32(b, binary.LittleEndian), nil
	}
	if IsUTF8(charset) {
		return strings.ToValidUTF8(string(b), "\ufffd"), nil
	}
	return "", ErrCharset
}

func fromUTF16(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return string(utf16.Decode(units))
}

func fromUTF32(b []byte, order binary.ByteOrder) string {
	out := make([]byte, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		r := rune(utf8.RuneError)
		if u := order.Uint32(b); u <= utf8.MaxRune {
			r = rune(u)
		}
		out = utf8.AppendRune(out, r) // writes U+FFFD for a surrogate
	}
	return string(out)
}
