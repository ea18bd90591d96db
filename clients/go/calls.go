package comanda

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// repeat is an interceptor: it repeats a call until there is an answer, an error that repeating cannot change, or the deadline.
//
// Every call of the API that answers once may be sent twice: it reads, says what shall be, or has a request_id. A missing one is filled in here,
// once for all tries.
func (c *Client) repeat(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Deadline)
		defer cancel()
	}
	if message, ok := request.(proto.Message); ok {
		request = withRequestID(message)
	}
	end, _ := ctx.Deadline()
	waits := c.newWaits()
	for {
		err := invoke(ctx, method, request, reply, conn, options...)
		if err == nil {
			return nil
		}
		failure := ErrorOf(err)
		wait := waits.after(failure)
		if !mayRepeat(failure) || time.Until(end) <= wait || pause(ctx, wait) != nil {
			return failure
		}
	}
}

// withRequestID returns a copy in which every missing request_id is filled in: the message's own, or those of its rows.
func withRequestID(request proto.Message) proto.Message {
	filled := proto.Clone(request).ProtoReflect()
	fillIn(filled)
	if rows := filled.Descriptor().Fields().ByName("requests"); rows != nil && rows.IsList() {
		list := filled.Get(rows).List()
		for i := range list.Len() {
			fillIn(list.Get(i).Message())
		}
	}
	return filled.Interface()
}

func fillIn(message protoreflect.Message) {
	field := message.Descriptor().Fields().ByName("request_id")
	if field != nil && message.Get(field).String() == "" {
		message.Set(field, protoreflect.ValueOfString(uuid.NewString()))
	}
}

// tokens sends a token with every call. It is asked for each time, so that one that lapses can be replaced.
type tokens func(context.Context) (string, error)

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t tokens) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := t(ctx)
	return map[string]string{"authorization": "Bearer " + token}, err
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a proxy beside the client may do TLS.
func (t tokens) RequireTransportSecurity() bool { return false }
