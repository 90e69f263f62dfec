package web

import (
	"bytes"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"go.osiris.dev/sdk"
)

// Pages requests page after page, decoded as T. After each, next says the address of the following one, relative to
// that of the page; an empty one ends. A server that goes in circles, or returns the same page twice, is an error.
//
//	for page, err := range web.Pages(client, config.URL, func(p *Page, _ *web.Response) string { return p.Next }) {
func Pages[T any](c *Client, first string, next func(page *T, response *Response) string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		seen := map[string]bool{}
		var last []byte
		for address := first; ; {
			if seen[address] {
				yield(nil, osiris.Errorf(osiris.KindData,
					"the server goes in circles: after page %d it names a page that was read already", len(seen)))
				return
			}
			seen[address] = true
			response, err := c.Get(address)
			page := new(T)
			if err == nil {
				err = response.JSON(page)
			}
			if err == nil && len(last) > 0 && bytes.Equal(last, response.Body) {
				err = osiris.Errorf(osiris.KindData,
					"the server returned the same page twice, as page %d and page %d: it ignores which page is requested",
					len(seen)-1, len(seen))
			}
			if err != nil {
				yield(nil, err)
				return
			}
			last = response.Body
			following := next(page, response)
			if !yield(page, nil) || following == "" {
				return
			}
			target, err := response.URL.Parse(following)
			if err != nil {
				yield(nil, osiris.Errorf(osiris.KindData, "page %d names an invalid next page: %w", len(seen), err))
				return
			}
			address = target.String()
		}
	}
}

// NextLink is for [Pages]: the address in the `Link` header with the relation `next`.
func NextLink[T any](_ *T, response *Response) string { return Link(response.Header, "next") }

// Numbered is for the function of [Pages]: the address of the response with another number of the page; empty for 0.
func Numbered(response *Response, parameter string, page int) string {
	if page == 0 {
		return ""
	}
	return With(response.URL.String(), parameter, page)
}

// With is an address with a query parameter, which replaces one of that name.
func With(address, name string, value any) string {
	base, fragment, _ := strings.Cut(address, "#")
	path, query, _ := strings.Cut(base, "?")
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); pair != "" && (err != nil || plain != name) {
			kept = append(kept, pair)
		}
	}
	kept = append(kept, url.QueryEscape(name)+"="+url.QueryEscape(fmt.Sprint(value)))
	address = path + "?" + strings.Join(kept, "&")
	if fragment != "" {
		address += "#" + fragment
	}
	return address
}

// Link is the address that the `Link` headers (RFC 8288) give for a relation such as `next`; or empty. A link with an
// `anchor` is about another document, so it is skipped.
func Link(header http.Header, relation string) string {
	rest := strings.Join(header.Values("Link"), ", ")
	for {
		start := strings.IndexByte(rest, '<')
		if start < 0 {
			return ""
		}
		end := strings.IndexByte(rest[start:], '>')
		if end < 0 {
			return ""
		}
		target, behind := strings.TrimSpace(rest[start+1:start+end]), rest[start+end+1:]
		length := unquoted(behind, ',')
		var relations []string
		anchored := false
		for parameters := behind[:length]; parameters != ""; {
			at := unquoted(parameters, ';')
			name, value, _ := strings.Cut(parameters[:at], "=")
			name = strings.ToLower(strings.TrimSpace(name))
			anchored = anchored || name == "anchor"
			if name == "rel" && relations == nil {
				relations = strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"'`)))
			}
			parameters = strings.TrimPrefix(parameters[at:], ";")
		}
		for _, found := range relations {
			if found == relation && !anchored {
				return target
			}
		}
		rest = behind[length:]
	}
}

// unquoted is the place of the first letter outside of quotes, or the end.
func unquoted(text string, letter byte) int {
	quoted, escaped := false, false
	for i := range len(text) {
		switch {
		case escaped:
			escaped = false
		case quoted && text[i] == '\\':
			escaped = true
		case text[i] == '"':
			quoted = !quoted
		case text[i] == letter && !quoted:
			return i
		}
	}
	return len(text)
}
