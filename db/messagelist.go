package db

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"silod/silo"
)

// Get implements silo.Archive.
func (st *messages) Get(ctx context.Context, id int64) (silo.Message, error) {
	ms, err := st.read(ctx, selectCounted+`WHERE s.{id} = $1`, id)
	if err != nil {
		return silo.Message{}, err
	}
	if len(ms) == 0 {
		return silo.Message{}, fmt.Errorf("message %d: %w", id, silo.ErrNotFound)
	}
	return ms[0], nil
}

// A long list is read by small pages, so that it does not delay other reads and the writer.
const (
	listRows    = 50
	minListRows = 8
	listBytes   = 64 << 10 // of bodies
)

// nextPageRows returns the number of rows to read after a page: the longer its messages,
// the fewer.
func nextPageRows(page []silo.Message) int {
	bytes := 0
	for i := range page {
		bytes += len(page[i].Body)
	}
	return max(minListRows, min(listRows, listBytes*len(page)/max(bytes, 1)))
}

// List implements silo.Archive. It reads by pages, so that no transaction is open while the
// caller works.
func (st *messages) List(ctx context.Context, q silo.Query) iter.Seq2[silo.Message, error] {
	return func(yield func(silo.Message, error) bool) {
		w, err := st.walk(ctx, q)
		left, rows := q.Limit, listRows
		for more := true; err == nil && more; {
			limit := rows
			if q.Limit > 0 {
				limit = min(limit, left)
			}
			var page []silo.Message
			_, err = st.turn.part(ctx, func() (bool, error) {
				var err error
				page, more, err = w.page(ctx, limit)
				return more && len(page) == 0, err
			})
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
			}
			rows = nextPageRows(page)
			if left -= len(page); q.Limit > 0 && left <= 0 {
				return
			}
		}
		if err != nil {
			yield(silo.Message{}, fmt.Errorf("list messages: %w", busy(err)))
		}
	}
}

// page returns the next messages, and reports whether there may be more.
func (w *walk) page(ctx context.Context, limit int) (page []silo.Message, more bool, err error) {
	if w.after >= w.last {
		if more, err = w.next(ctx); err != nil || !more || w.after >= w.last {
			return nil, more, err
		}
	}
	for i := range w.routes {
		where, args := w.where(&w.routes[i], joinMeta)
		args = append(args, limit)
		text := selectRow + countCopies + `, ` + isMarked + where + fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args))
		ms, err := w.messages.read(ctx, text, args...)
		if err != nil {
			return nil, false, err
		}
		page = append(page, ms...)
	}
	slices.SortFunc(page, func(a, b silo.Message) int { return cmp.Compare(a.ID, b.ID) })
	if page = page[:min(len(page), limit)]; len(page) == limit {
		w.after = page[limit-1].ID
	} else {
		w.after = w.last
	}
	return page, true, nil
}
