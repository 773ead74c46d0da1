package salesforce

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/beckonhq/beckon/internal/notification"
)

// node is an element as encoding/xml tells it; the reference decoder works on the whole tree, quite unlike Decode.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string
	children []*node
}

var errReference = errors.New("reference decoder: unexpected document")

// referenceTree reads the whole document with encoding/xml in its strict mode.
func referenceTree(body []byte) (*node, error) {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimSpace(body)))
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	top := &node{}
	stack := []*node{top}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			child := &node{name: tok.Name, attrs: tok.Attr}
			last := stack[len(stack)-1]
			last.children = append(last.children, child)
			stack = append(stack, child)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			stack[len(stack)-1].text += string(tok)
		}
	}
	if len(top.children) != 1 {
		return nil, errReference
	}
	return top.children[0], nil
}

func (n *node) all(space, local string) (found []*node) {
	for _, child := range n.children {
		if child.name.Space == space && child.name.Local == local {
			found = append(found, child)
		}
	}
	return found
}

func (n *node) one(space, local string) (*node, error) {
	found := n.all(space, local)
	if len(found) != 1 {
		return nil, errReference
	}
	return found[0], nil
}

func (n *node) instance(local string) string {
	for _, attr := range n.attrs {
		if attr.Name.Space == uriInstance && attr.Name.Local == local {
			return strings.TrimSpace(attr.Value)
		}
	}
	return ""
}

func (n *node) isNil() bool {
	return n.instance("nil") == "true" || n.instance("nil") == "1"
}

// referenceDecode reads an acceptable outbound message. It refuses far less than Decode.
func referenceDecode(body []byte) (*notification.Envelope, error) {
	at, err := referenceTree(body)
	if err != nil {
		return nil, err
	}
	for _, name := range []xml.Name{{Space: uriSOAP11, Local: "Body"}, {Space: uriOutbound, Local: "notifications"}} {
		if at, err = at.one(name.Space, name.Local); err != nil {
			return nil, err
		}
	}
	env := &notification.Envelope{}
	org, err := at.one(uriOutbound, "OrganizationId")
	if err != nil {
		return nil, err
	}
	if env.Org, err = notification.ParseOrgID(strings.TrimSpace(org.text)); err != nil {
		return nil, err
	}
	for _, action := range at.all(uriOutbound, "ActionId") {
		if env.Action, err = referenceID(action.text); err != nil {
			return nil, err
		}
	}
	for _, child := range at.all(uriOutbound, "Notification") {
		n, err := referenceNotification(env, child)
		if err != nil {
			return nil, err
		}
		env.Notifications = append(env.Notifications, n)
	}
	return env, nil
}

func referenceID(text string) (notification.ID, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	return notification.ParseID(text)
}

func referenceNotification(env *notification.Envelope, at *node) (n notification.Notification, err error) {
	id, err := at.one(uriOutbound, "Id")
	if err != nil {
		return n, err
	}
	if n.ID, err = referenceID(id.text); err != nil {
		return n, err
	}
	object, err := at.one(uriOutbound, "sObject")
	if err != nil {
		return n, err
	}
	if name := object.instance("type"); name != "" {
		env.Object = name[strings.Index(name, ":")+1:]
	}
	for _, child := range object.children {
		field := notification.Field{Name: child.name.Local, Value: child.text, Null: child.isNil()}
		switch {
		case field.Name == "fieldsToNull" && strings.TrimSpace(child.text) == "":
			continue
		case field.Name == "fieldsToNull":
			field = notification.Field{Name: strings.TrimSpace(child.text), Null: true}
		case field.Null:
			field.Value = ""
		case field.Name == "Id":
			if n.RecordID, err = referenceID(child.text); err != nil {
				return n, err
			}
		}
		n.Fields = append(n.Fields, field)
	}
	return n, nil
}
