package imc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"time"

	"silod/im"
)

// wrap returns a CPIM message (RFC 3862) with the speaker in From. Its header fields that can
// name another sender or time are left out.
func (sp *speaker) wrap(data []byte, nested int) (body, *refusal) {
	in, ok := im.ParseCPIM(data)
	if !ok || in.Body == nil {
		return body{}, refuse("bad_content")
	}
	content, err := sp.name(cpimBody(in), nested+1)
	if err != nil {
		return body{}, err
	}
	out := im.CPIM{Body: content.data, Headers: []im.Field{
		{Name: "From", Value: "<" + sp.uri + ">"},
		{Name: "To", Value: "<" + sp.room + ">"},
		{Name: "DateTime", Value: sp.at.UTC().Format(time.RFC3339)},
	}}
	if subject := in.Header("Subject"); subject != "" {
		out.Headers = append(out.Headers, im.Field{Name: "Subject", Value: oneLine(subject)})
	}
	if id, wants := in.IMDN("Message-ID"), in.IMDN("Disposition-Notification"); id != "" || wants != "" {
		out.Headers = append(out.Headers, im.Field{Name: "NS", Value: im.IMDNPrefix})
		for _, f := range []im.Field{{Name: "imdn.Message-ID", Value: id}, {Name: "imdn.Disposition-Notification", Value: wants}} {
			if f.Value != "" {
				out.Headers = append(out.Headers, im.Field{Name: f.Name, Value: printable(f.Value)})
			}
		}
	}
	out.Content = contentFields(content, in.ContentField)
	return body{contentType: im.MediaTypeCPIM, data: out.Append(nil)}, nil
}

// contentFields returns the header fields of a content. The fields that describe it are those
// that get returns.
func contentFields(b body, get func(name string) string) []im.Field {
	fields := []im.Field{
		{Name: "Content-Type", Value: b.contentType},
		{Name: "Content-Transfer-Encoding", Value: b.transfer},
		{Name: "Content-Encoding", Value: b.encoding},
	}
	for _, name := range []string{"Content-Disposition", "Content-ID", "Content-Language"} {
		fields = append(fields, im.Field{Name: name, Value: get(name)})
	}
	n := 0
	for _, f := range fields {
		if f.Value = printable(f.Value); f.Value != "" {
			fields[n] = f
			n++
		}
	}
	return fields[:n]
}

// nameParts names the speaker in each part of a multipart message (RFC 2046 section 5.1), which
// it writes again: other readers could find other parts in it than package multipart does.
func (sp *speaker) nameParts(contentType string, data []byte, nested int) (body, *refusal) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return body{}, refuse("bad_content")
	}
	r := multipart.NewReader(bytes.NewReader(data), params["boundary"])
	var list [][]byte
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(list) == maxParts {
			return body{}, refuse("bad_content")
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return body{}, refuse("bad_content")
		}
		b, refused := sp.name(body{
			contentType: p.Header.Get("Content-Type"), data: data,
			transfer: p.Header.Get("Content-Transfer-Encoding"), encoding: p.Header.Get("Content-Encoding"),
		}, nested+1)
		if refused != nil {
			return body{}, refused
		}
		out := im.CPIM{Content: contentFields(b, p.Header.Get), Body: b.data}
		list = append(list, out.Append(nil)[len("\r\n"):]) // without the message headers of CPIM
	}
	if len(list) == 0 {
		return body{}, refuse("bad_content")
	}
	boundary := boundaryFor(list)
	var out bytes.Buffer
	for _, p := range list {
		out.WriteString("--" + boundary + "\r\n")
		out.Write(p)
		out.WriteString("\r\n")
	}
	out.WriteString("--" + boundary + "--\r\n")
	return body{contentType: kind + ";boundary=" + boundary, data: out.Bytes()}, nil
}

// boundaryFor returns a boundary that is in none of the parts, because it is a hash of them. It
// is the same in each attempt of the delivery.
func boundaryFor(list [][]byte) string {
	h := sha256.New()
	for _, p := range list {
		h.Write(p) // never returns an error
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// unreadable returns the refusal of a body that im.Decode or im.ToUTF8 could not read.
func unreadable(err error, b body) *refusal {
	switch {
	case errors.Is(err, im.ErrEncoding):
		return refuse("bad_encoding", "value", printable(clip(joinNonEmpty(b.transfer, b.encoding))))
	case errors.Is(err, im.ErrTooLarge):
		return refuse("too_big", "limit", itoa(maxDecoded))
	}
	return refuse("bad_content")
}

func joinNonEmpty(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}
