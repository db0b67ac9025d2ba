package phone

import (
	"bytes"
	"io"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// authorize adds credentials for the challenge in res to the request. It reports whether it
// has added any: it needs a password and a known algorithm, and the challenge must not refuse
// the credentials that were sent.
func (p *Phone) authorize(req *sipgo.Request, res *Response) bool {
	challenge, credentials := "WWW-Authenticate", "Authorization"
	switch res.Code {
	case 401:
	case 407:
		challenge, credentials = "Proxy-Authenticate", "Proxy-Authorization"
	default:
		return false
	}
	if p.cfg.Password == "" {
		return false
	}
	// The server prefers the topmost of several algorithms (RFC 8760 section 2.4).
	for _, value := range res.Headers.All(challenge) {
		chal, err := digest.ParseChallenge(value)
		if err != nil || !digest.CanDigest(chal) {
			continue
		}
		for i := range chal.QOP {
			chal.QOP[i] = strings.TrimSpace(chal.QOP[i])
		}
		if req.GetHeader(credentials) != nil && !chal.Stale {
			return false
		}
		cred, err := digest.Digest(chal, digest.Options{
			Method: string(req.Method), URI: req.Recipient.String(),
			Username: p.cfg.User, Password: p.cfg.Password,
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.Body())), nil },
		})
		if err != nil {
			continue
		}
		req.RemoveHeader(credentials)
		req.AppendHeader(sipgo.NewHeader(credentials, cred.String()))
		return true
	}
	return false
}
