package mi

import (
	"log/slog"
)

func testRegistry() *Registry {
	r := NewRegistry(slog.New(slog.DiscardHandler))
	return r
}
