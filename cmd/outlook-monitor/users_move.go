package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"outlook-monitor/internal/ooo"
)

// The monitored users survive a change of Redis as lines of JSON. Only their
// names move: what is known of them is read again from mailboxes and Graph.

type usersExportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Write to this file instead of standard output, once the export is complete."`
}

type usersImportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Read this file instead of standard input."`
}

// movedUser is one line: the address by which the user is monitored again, and
// who that is.
type movedUser struct {
	Email             string `json:"email"` // spelled as the mediator does
	ID                string `json:"id"`
	UserPrincipalName string `json:"userPrincipalName"`
	DisplayName       string `json:"displayName"`
}

// Run writes one line for each user.
func (c *usersExportCmd) Run(ctx context.Context, out io.Writer, errs stderr, api *usersAPI) error {
	n, err := 0, error(nil)
	if c.File == "" {
		n, err = api.export(ctx, out)
	} else {
		n, err = api.exportTo(ctx, c.File)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(errs, "%s exported.\n", counted(n, "user"))
	return err
}

// counted is a number of things in words: 1 user, 2 users.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// exportTo leaves what the file held until the export is whole.
func (a *usersAPI) exportTo(ctx context.Context, path string) (n int, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return 0, fmt.Errorf("write the users: %w", err)
	}
	defer os.Remove(file.Name()) // does nothing once it has the other name
	defer file.Close()
	if n, err = a.export(ctx, file); err != nil {
		return n, err
	}
	for _, finish := range []func() error{file.Sync, file.Close, func() error { return os.Rename(file.Name(), path) }} {
		if err := finish(); err != nil {
			return n, fmt.Errorf("write the users: %w", err)
		}
	}
	return n, nil
}

// export returns how many users it wrote.
func (a *usersAPI) export(ctx context.Context, to io.Writer) (n int, err error) {
	buffer := bufio.NewWriter(to)
	lines := json.NewEncoder(buffer)
	lines.SetEscapeHTML(false)
	err = a.pages(ctx, func(users []json.RawMessage) error {
		for _, raw := range users {
			var u movedUser
			if json.Unmarshal(raw, &u) != nil || u.Email == "" {
				return errNotOurs(a.base)
			}
			if err := lines.Encode(u); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return n, err
	}
	return n, buffer.Flush()
}

// pages calls each for every page of users.
func (a *usersAPI) pages(ctx context.Context, each func(users []json.RawMessage) error) error {
	for cursor := ""; ; {
		var page struct {
			Users  *[]json.RawMessage `json:"users"`
			Cursor string             `json:"cursor"`
		}
		query := url.Values{"limit": {"500"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		_, body, err := a.call(ctx, http.MethodGet, "", "", query, nil)
		if err != nil {
			return err
		}
		if json.Unmarshal(body, &page) != nil || page.Users == nil || page.Cursor != "" && page.Cursor == cursor {
			return errNotOurs(a.base)
		}
		if err := each(*page.Users); err != nil || page.Cursor == "" {
			return err
		}
		cursor = page.Cursor
	}
}

// Run posts all lines. A line that is not taken keeps no other from it.
func (c *usersImportCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	from := io.Reader(os.Stdin)
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("read the users: %w", err)
		}
		defer file.Close()
		from = file
	}
	report, err := api.take(ctx, from)
	return cmp.Or(report.print(out, api.json), err, report.err())
}

// moveReport says what became of the lines.
type moveReport struct {
	Accepted int           `json:"accepted"`
	Refused  []moveRefusal `json:"refused"`
}

type moveRefusal struct {
	Line  int    `json:"line"`
	Email string `json:"email,omitempty"`
	Error string `json:"error"`
}

func (r *moveReport) refuse(line int, email, why string) {
	r.Refused = append(r.Refused, moveRefusal{line, email, why})
}

func (r *moveReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	for _, f := range r.Refused {
		where := fmt.Sprintf("line %d", f.Line)
		if f.Email != "" {
			where += fmt.Sprintf(" (%.80s)", clean(f.Email))
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", where, clean(f.Error)); err != nil {
			return err
		}
	}
	next := "."
	if r.Accepted > 0 {
		next = "; the directory is asked next."
	}
	_, err := fmt.Fprintf(out, "%s accepted%s\n", counted(r.Accepted, "user"), next)
	return err
}

func (r *moveReport) err() error {
	if len(r.Refused) == 0 {
		return nil
	}
	return fmt.Errorf("%d lines were not accepted: fix and import them again", len(r.Refused))
}

const (
	importChunk = 1000     // users in one request
	longestLine = 64 << 10 // bytes
)

// moveLine is one user to post.
type moveLine struct {
	number int
	email  string
}

// take posts what it reads. The error says why it ended early; what was accepted
// by then stays so.
func (a *usersAPI) take(ctx context.Context, from io.Reader) (*moveReport, error) {
	report, reader := &moveReport{Refused: []moveRefusal{}}, bufio.NewReaderSize(from, longestLine)
	var chunk []moveLine
	for number := 1; ; number++ {
		text, whole, err := readLine(reader)
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return report, fmt.Errorf("read line %d: %w", number, err)
		}
		email, why := addressIn(text)
		switch {
		case !whole:
			report.refuse(number, "", "too long for a user")
		case len(text) == 0:
		case why != nil:
			report.refuse(number, email, why.Error())
		default:
			chunk = append(chunk, moveLine{number, email})
		}
		if len(chunk) == importChunk || end && len(chunk) > 0 {
			if err := a.post(ctx, chunk, report); err != nil {
				return report, fmt.Errorf("nothing was imported from line %d on: %w; fix that and import all again", chunk[0].number, err)
			}
			chunk = chunk[:0]
		}
		if end {
			return report, nil
		}
	}
}

// readLine returns the next line without the white space around it, and whether
// it is short enough to be whole. With the last one comes io.EOF.
func readLine(r *bufio.Reader) (text []byte, whole bool, err error) {
	text, err = r.ReadSlice('\n')
	for whole = true; errors.Is(err, bufio.ErrBufferFull); whole = false {
		_, err = r.ReadSlice('\n')
	}
	return bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff"))), whole, err
}

// addressIn returns the address in a line.
func addressIn(text []byte) (string, error) {
	var u struct {
		Email *string `json:"email"`
	}
	if !json.Valid(text) {
		return "", errors.New("not JSON")
	}
	if json.Unmarshal(text, &u) != nil || u.Email == nil {
		return "", errors.New(`no JSON object with "email"`)
	}
	email, err := ooo.ParseAddress(*u.Email)
	return cmp.Or(email, *u.Email), err
}

// post has one chunk of users monitored and adds to the report.
func (a *usersAPI) post(ctx context.Context, chunk []moveLine, report *moveReport) error {
	var request struct {
		Emails []string `json:"emails"`
	}
	for _, l := range chunk {
		request.Emails = append(request.Emails, l.email)
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, body, err := a.call(ctx, http.MethodPost, "", "", nil, text)
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct{ Result, Error string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Results) != len(chunk) {
		return errNotOurs(a.base)
	}
	for i, result := range answer.Results {
		if result.Result == "accepted" {
			report.Accepted++
		} else {
			report.refuse(chunk[i].number, chunk[i].email, cmp.Or(result.Error, "not accepted"))
		}
	}
	return nil
}
