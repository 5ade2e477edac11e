package notifytest

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Status is a commit status as it was taken.
type Status struct {
	SHA         string
	State       string
	Context     string
	Description string
	TargetURL   string
	Time        time.Time
}

// Final says whether the state is a last word.
func (s Status) Final() bool { return s.State != "pending" }

const maxStatusBody = 16 << 10

// board is a desk that takes statuses.
type board struct {
	desk[Status]
}

// Last is the newest status of a commit and context: the one that people see.
func (b *board) Last(sha, context string) (Status, bool) {
	of := b.Of(sha, context)
	if len(of) == 0 {
		return Status{}, false
	}
	return of[len(of)-1], true
}

// Of is every status of a commit and context, in order.
func (b *board) Of(sha, context string) []Status {
	var of []Status
	for _, s := range b.All() {
		if s.SHA == sha && s.Context == context {
			of = append(of, s)
		}
	}
	return of
}

// readStatus reads the body that GitHub and Gitea share.
func readStatus(r *http.Request, sha string) (Status, error) {
	var body struct {
		State       string  `json:"state"`
		TargetURL   *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
	}
	if err := readJSON(r, maxStatusBody, &body); err != nil {
		return Status{}, err
	}
	s := Status{SHA: sha, State: body.State, Context: "default", Time: time.Now()}
	for to, from := range map[*string]*string{&s.TargetURL: body.TargetURL, &s.Description: body.Description, &s.Context: body.Context} {
		if from != nil {
			*to = *from
		}
	}
	return s, nil
}

// linkable says that a link may be opened from the forge's page; "" is none.
func linkable(link string) bool {
	if link == "" {
		return true
	}
	u, err := url.Parse(link)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func hash(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}
