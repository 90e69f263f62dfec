package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.osiris.dev/sdk"
)

// Auth authorizes requests.
type Auth interface {
	Authorize(c *Client, request *http.Request) error
}

// renewable is an Auth that may have a newer token once a server refused the one that it gave.
type renewable interface{ renew() }

// Bearer sends `Authorization: Bearer TOKEN`, unless the token is empty.
type Bearer string

// Authorize adds the header.
func (token Bearer) Authorize(_ *Client, request *http.Request) error {
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	return nil
}

// Basic sends a user's name and password.
type Basic struct{ User, Password string }

// Authorize adds the header.
func (b Basic) Authorize(_ *Client, request *http.Request) error {
	request.SetBasicAuth(b.User, b.Password)
	return nil
}

// APIKey sends a key in a header.
type APIKey struct{ Header, Key string }

// Authorize adds the header.
func (k APIKey) Authorize(_ *Client, request *http.Request) error {
	request.Header.Set(k.Header, k.Key)
	return nil
}

// ClientCredentials logs in by OAuth 2 with the client's own credentials (RFC 6749, 4.4). The token is used until it
// expires, and renewed once if a server refuses it.
type ClientCredentials struct {
	TokenURL, ClientID, ClientSecret, Scope string

	token   string
	expires time.Time
}

func (o *ClientCredentials) renew() { o.token = "" }

// Authorize adds the token, and fetches it first if there is none.
func (o *ClientCredentials) Authorize(c *Client, request *http.Request) error {
	if o.token == "" || !o.expires.IsZero() && time.Now().After(o.expires) {
		if err := o.fetch(c); err != nil {
			return err
		}
	}
	request.Header.Set("Authorization", "Bearer "+o.token)
	return nil
}

func (o *ClientCredentials) fetch(c *Client) error {
	form := url.Values{"grant_type": {"client_credentials"}}
	if o.Scope != "" {
		form.Set("scope", o.Scope)
	}
	// A POST whose repetition does no harm is retried here.
	own := &Client{HTTP: c.HTTP, Retries: c.Retries, Base: c.Base, MaxWait: c.MaxWait}
	var answer *Response
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequest("POST", o.TokenURL, strings.NewReader(form.Encode()))
		if err != nil {
			return osiris.Errorf(osiris.KindConfig, "the token's address is not valid: %w", err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret))
		response, failure := own.once(request)
		c.sent++
		if failure == nil {
			answer = response
			break
		}
		wait, again := own.wait(attempt, response, failure)
		if !again {
			if response != nil && response.Status == 400 {
				failure.Kind = osiris.KindAuth
			}
			return osiris.Errorf(failure.Kind, "cannot log in: %w", failure)
		}
		time.Sleep(wait)
	}
	var token struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := answer.JSON(&token); err != nil {
		return err
	}
	if token.AccessToken == "" {
		return osiris.Errorf(osiris.KindAuth, "the login at `%s` returned no access_token", show(answer.URL))
	}
	o.token, o.expires = token.AccessToken, time.Time{}
	if token.ExpiresIn > 0 {
		o.expires = time.Now().Add(time.Duration(token.ExpiresIn*float64(time.Second)) - 30*time.Second)
	}
	return nil
}
