package db

import "log/slog"

// health logs once that writes fail, and once that they succeed again. Writes of one kind
// may be refused while the others succeed.
type health struct {
	down    bool      // the database takes no writes
	refused planKinds // kinds that it refuses
}

// set records the outcome of a write of these kinds, nil for success.
func (h *health) set(log *slog.Logger, kinds planKinds, f fault, err error) {
	was := *h
	switch {
	case err == nil:
		h.down, h.refused = false, h.refused&^kinds
		if was != (health{}) && *h == (health{}) {
			log.Info("database writes succeed again")
		}
		return
	case f == faultRow, f == faultLocked && kinds&(kindMessages|kindEntries) == 0: // of one row
		return
	case f == faultDenied || f == faultOther || f == faultNumbers:
		h.refused |= kinds
	default:
		h.down = true
	}
	if h.down && !was.down || h.refused&^was.refused != 0 {
		log.Error("database writes fail", "error", err)
	}
}
