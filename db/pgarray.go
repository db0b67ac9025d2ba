package db

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"
)

// A pgElement is a type of array elements in PostgreSQL. Arrays are sent in binary form,
// which the server reads directly; in text form every byte would be quoted and parsed.
type pgElement struct {
	name   string
	oid    uint32 // of pg_type.dat, the same in every PostgreSQL
	append func(b []byte, v any) []byte
}

// The types of elements. pgHeaders and pgTime have the form in which Kamailio stores header
// lines and times.
var (
	pgText    = pgElement{"text", 25, func(b []byte, v any) []byte { return append(b, v.(string)...) }}
	pgBytes   = pgElement{"bytea", 17, func(b []byte, v any) []byte { return append(b, v.([]byte)...) }}
	pgInt     = pgElement{"bigint", 20, func(b []byte, v any) []byte { return binary.BigEndian.AppendUint64(b, uint64(v.(int64))) }}
	pgHeaders = pgElement{"text", 25, func(b []byte, v any) []byte { return append(b, escapeHeaders(v.(string))...) }}
	pgReal    = pgElement{"float8", 701, func(b []byte, v any) []byte {
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.(float64)))
	}}
	pgTime = pgElement{"timestamp", 1114, func(b []byte, v any) []byte {
		return binary.BigEndian.AppendUint64(b, uint64(pgLocalTime(v.(int64))))
	}}
)

// array returns column i of the rows in the form that the server's array_recv reads: the
// number of dimensions, whether there are NULLs, the type of the elements, the size and
// the first index of the one dimension, then each element after its length.
func (e *pgElement) array(rows [][]any, i int) []byte {
	size := 20 + 12*len(rows)
	for _, row := range rows {
		switch v := row[i].(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
	}
	b := make([]byte, 0, size)
	for _, n := range [...]uint32{1, 0, e.oid, uint32(len(rows)), 1} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, row := range rows {
		at := len(b)
		if row[i] == nil {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32) // length -1: NULL
			b[7] = 1                                             // the array has NULLs
			continue
		}
		b = e.append(append(b, 0, 0, 0, 0), row[i])
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

// pgLocalTime returns a time as Kamailio writes it, in local time without a zone: the
// microseconds since 2000.
func pgLocalTime(unix int64) int64 {
	_, offset := time.Unix(unix, 0).Zone()
	year2000 := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return (unix + int64(offset) - year2000) * 1e6
}

// escapeHeaders escapes header lines as Kamailio does: it writes the text column
// extra_hdrs in PostgreSQL's escape form of bytea, and decodes it when it reads. Lines
// without a byte to escape stay as they are.
func escapeHeaders(lines string) string {
	plain := func(r rune) bool { return r >= ' ' && r < 0x7f && r != '\\' || r == '\r' || r == '\n' || r == '\t' }
	if lines != "" && !strings.ContainsFunc(lines, func(r rune) bool { return !plain(r) }) {
		return lines
	}
	return `\x` + hex.EncodeToString([]byte(lines))
}
