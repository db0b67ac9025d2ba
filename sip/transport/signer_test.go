package transport

import (
	"crypto"
	"crypto/tls"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A slowKey is a key whose signatures take a while. It counts those that are being made.
type slowKey struct{ now, most atomic.Int32 }

func (*slowKey) Public() crypto.PublicKey { return nil }

func (k *slowKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	n := k.now.Add(1)
	for m := k.most.Load(); n > m && !k.most.CompareAndSwap(m, n); m = k.most.Load() {
		continue
	}
	time.Sleep(time.Millisecond)
	k.now.Add(-1)
	return nil, nil
}

// TestSignaturesAreBounded checks that signatures leave a processor for messages.
func TestSignaturesAreBounded(t *testing.T) {
	k := new(slowKey)
	key := boundSigner(tls.Certificate{PrivateKey: k}).PrivateKey.(crypto.Signer)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = key.Sign(nil, nil, nil) })
	}
	wg.Wait()
	if most := int(k.most.Load()); most > cap(signers) {
		t.Errorf("%d signatures were made at the same time, want %d", most, cap(signers))
	}
}
