package db

import "fmt"

// renumber implements dialect. The sequences do not know the numbers of rows that were
// written together with their numbers.
func (d *postgresDB) renumber(s *session) error {
	for table, column := range map[string]string{s.layout.messages.table: s.layout.messages.id, "silod_room_log": "seq"} {
		_, err := s.raw(fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), GREATEST((SELECT MAX(%[2]s) FROM %[1]s), 1))", table, column))
		if err != nil {
			return fmt.Errorf("number the rows of table %s: %w", table, err)
		}
	}
	return nil
}

// maxSkipped limits the numbers that skipNumbers leaves out: to set a sequence takes a right
// that silod may not have.
const maxSkipped = 1_000_000

// skipNumbers implements dialect. A sequence keeps its numbers when the transaction is rolled
// back.
func (d *postgresDB) skipNumbers(s *session, t *table, last int64) error {
	const next = "nextval(pg_get_serial_sequence($1, $2))"
	n, err := s.ints("SELECT COALESCE("+next+", $3)", t.name, t.serial, last) // $3: no sequence
	if err != nil || n[0] >= last {
		return err
	}
	_, err = s.ints("SELECT count("+next+") FROM generate_series(1, $3)", t.name, t.serial, min(last-n[0], maxSkipped))
	return err
}
