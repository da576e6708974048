// A hub on socket.io, WebSocket alone.
const http = require("http");
const { Server } = require("socket.io");
const server = http.createServer();
const io = new Server(server, { transports: ["websocket"] });
io.on("connection", (socket) => socket.on("m", (data) => socket.broadcast.emit("m", data)));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
