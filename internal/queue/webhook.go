package queue

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

const (
	defaultWebhookTimeout     = 10 * time.Second
	defaultWebhookConcurrency = 16
	// webhookAnswerBytes is how much of an answer is read, so that the connection can be
	// used again.
	webhookAnswerBytes = 64 << 10
	secretPrefix       = "whsec_"
)

// DefaultWebhookSchedule is the wait before each try.
func DefaultWebhookSchedule() []time.Duration {
	return []time.Duration{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}
}

// WebhookSecret is what an organization checks its webhooks with, in the form of
// Standard Webhooks.
func WebhookSecret(master []byte, organization string) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(webhookKey(master, organization))
}

func webhookKey(master []byte, organization string) []byte {
	mac := hmac.New(sha256.New, master)
	mac.Write([]byte(organization))
	return mac.Sum(nil)
}

// hook is a webhook on its way: the record says all else.
type hook struct {
	Organization string `json:"org,omitempty"`
	ID           string `json:"id"`
}

// sendWebhook queues a finished record's webhook, where it has one that wasn't tried.
func (x *Executions) sendWebhook(ctx context.Context, r *record) error {
	if r.Webhook == nil || r.Webhook.State != "pending" || r.Webhook.Attempts > 0 {
		return nil
	}
	m := &nats.Msg{Subject: webhookSubject(r.Organization), Data: encode(hook{r.Organization, r.ID}), Header: nats.Header{}}
	_, err := x.publish(ctx, m, jetstream.WithMsgID(messageID(r.Organization, r.ID)))
	return err
}

// sender sends webhooks.
type sender struct {
	x       *Executions
	opts    WebhookOptions
	client  *http.Client
	pullers []*puller
	sends   sync.WaitGroup
	life    context.Context
	kill    context.CancelFunc
}

func (w *worker) newSender(ctx context.Context) (*sender, error) {
	s := &sender{x: w.x, opts: w.opts.Webhooks}
	if len(s.opts.Schedule) == 0 {
		s.opts.Schedule = DefaultWebhookSchedule()
	}
	if len(s.opts.Secret) == 0 {
		return nil, errors.New("queue: WebhookOptions.Secret is missing: nobody could tell a webhook from a forged one")
	}
	setDefault(&s.opts.Timeout, defaultWebhookTimeout)
	setDefault(&s.opts.Concurrency, defaultWebhookConcurrency)
	s.client = &http.Client{
		Transport: s.opts.Transport, Timeout: s.opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	shared := newSlots(s.opts.Concurrency - 1)
	for lane := range lanes {
		consumer, err := w.consumer(ctx, webhooksStream, jetstream.ConsumerConfig{
			Durable: fmt.Sprintf("webhooks-%x", lane), FilterSubject: fmt.Sprintf("%s%x", webhooksSubjects, lane),
			AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1, AckWait: s.opts.Timeout + w.x.opts.Lease,
		})
		if err != nil {
			return nil, err
		}
		s.pullers = append(s.pullers, newPuller(consumer, shared, &s.sends, w.x.engine, s.handle))
	}
	s.life, s.kill = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// work sends until ctx ends; tries that have begun are seen through.
func (s *sender) work(ctx context.Context) {
	defer s.kill()
	var pulls sync.WaitGroup
	for _, p := range s.pullers {
		pulls.Go(func() { p.pull(ctx) })
	}
	pulls.Wait()
	s.sends.Wait()
}

func (s *sender) handle(msg jetstream.Msg) {
	var h hook
	if json.Unmarshal(msg.Data(), &h) != nil || !validID(h.ID) {
		s.x.faults.Add(1)
		s.x.engine.log.Error("a webhook can't be read")
		msg.Term()
		return
	}
	r, err := s.x.load(s.life, h.Organization, h.ID, true)
	switch {
	case errors.Is(err, ErrNotFound): // retention took it
		s.x.engine.log.Warn("a webhook isn't sent: its execution is no longer kept", "execution", h.ID)
		msg.Ack()
		return
	case err != nil || r.State != Done:
		msg.NakWithDelay(busyPause)
		return
	case r.Webhook == nil || r.Webhook.State != "pending":
		msg.Ack()
		return
	}
	if wait := time.Until(moment(r.Webhook.Next)); r.Webhook.Next > 0 && wait > 0 {
		msg.NakWithDelay(wait) // the server forgets delays when it starts again
		return
	}
	wait, err := s.try(r)
	switch {
	case err != nil:
		s.x.engine.log.Warn("what became of a webhook can't be written", "execution", h.ID, "error", err)
		msg.NakWithDelay(busyPause)
	case wait > 0:
		msg.NakWithDelay(wait)
	default:
		msg.Ack()
	}
}

// try sends once and writes down what came of it. A wait of 0 means that it was the last.
func (s *sender) try(r *record) (wait time.Duration, err error) {
	status, final, failure := s.post(r)
	for {
		hook := r.Webhook
		hook.Attempts++
		hook.Status, hook.Error, hook.Next, wait = status, failure, 0, 0
		switch {
		case failure == "":
			hook.State = "delivered"
		case final || hook.Attempts >= len(s.opts.Schedule):
			hook.State = "failed"
		default:
			wait = max(s.opts.Schedule[hook.Attempts], time.Millisecond)
			hook.Next = time.Now().Add(wait).UnixMilli()
		}
		err := s.x.save(s.life, r)
		if !errors.Is(err, errChanged) {
			return wait, err
		}
		if r, err = s.x.load(s.life, r.Organization, r.ID, true); err != nil || r.Webhook == nil || r.Webhook.State != "pending" {
			return 0, err
		}
	}
}

// post sends the outcome. failure says what to do about it; final that no further try
// could help.
func (s *sender) post(r *record) (status int, final bool, failure string) {
	body, err := webhookBody(r)
	if err != nil {
		return 0, true, "the execution can't be written as JSON"
	}
	ctx := s.life
	if r.Organization != "" {
		ctx = httptool.WithOrganization(ctx, r.Organization)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Webhook.URL, bytes.NewReader(body))
	if err != nil {
		return 0, true, "the webhook's address is no URL"
	}
	s.sign(req, r, body)
	response, err := s.client.Do(req)
	if err != nil {
		e := errclass.Classify(err)
		return 0, e.Class == errclass.RequestBlocked, sentence(e)
	}
	defer response.Body.Close()
	io.CopyN(io.Discard, response.Body, webhookAnswerBytes)
	return judgeAnswer(response.StatusCode)
}

// sentence is a failure and what to do about it.
func sentence(e *errclass.Error) string {
	if e.Hint == "" {
		return e.Error()
	}
	return e.Error() + ". " + e.Hint
}

func judgeAnswer(status int) (int, bool, string) {
	switch {
	case status >= 200 && status <= 299:
		return status, false, ""
	case status == http.StatusGone:
		return status, true, "the receiver answered 410 Gone: it wants no more webhooks"
	case status >= 300 && status <= 399:
		return status, false, fmt.Sprintf("the receiver answered %d: redirects aren't followed; give the address that they lead to", status)
	}
	return status, false, fmt.Sprintf("the receiver answered %d: it must answer 2xx", status)
}

func webhookBody(r *record) ([]byte, error) {
	x := r.execution()
	x.Webhook = nil
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp string    `json:"timestamp"`
		Data      Execution `json:"data"`
	}{"execution.done", stamp(time.Now()), x})
}

// sign adds the headers of Standard Webhooks.
func (s *sender) sign(req *http.Request, r *record, body []byte) {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, webhookKey(s.opts.Secret, r.Organization))
	fmt.Fprintf(mac, "%s.%s.%s", r.ID, at, body)
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "toolrun")
	h["webhook-id"] = []string{r.ID}
	h["webhook-timestamp"] = []string{at}
	h["webhook-signature"] = []string{"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}
