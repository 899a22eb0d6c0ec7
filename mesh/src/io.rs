//! A connection to an endpoint as one type: TCP or a UNIX socket, bare or under TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A socket.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection to an endpoint: a socket, perhaps under TLS, whose state is boxed because it is large.
pub(crate) enum Io {
    Plain(Socket),
    Client(Box<tokio_rustls::client::TlsStream<Socket>>),
}

macro_rules! each {
    ($self:ident, [$($variant:ident),+], $io:ident => $call:expr) => {
        match $self.get_mut() {
            $(Self::$variant($io) => { let $io = Pin::new($io); $call })+
        }
    };
}

macro_rules! passes_through {
    ($type:ty, $variants:tt) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self, $variants, io => io.poll_read(cx, buffer))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!(self, $variants, io => io.poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!(self, $variants, io => io.poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $variants, io => io.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $variants, io => io.poll_shutdown(cx))
            }
        }
    };
}

passes_through!(Socket, [Tcp, Unix]);
passes_through!(Io, [Plain, Client]);
