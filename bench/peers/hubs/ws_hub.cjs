// A hub on node's `ws`: one send per message and client, no compression.
const { WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false }, () => {
  console.log(server.address().port);
});
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    for (const client of server.clients) if (client !== socket) client.send(data, { binary: false });
  });
});
